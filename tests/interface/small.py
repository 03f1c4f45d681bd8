"""A small interface and small inputs of every kind, for tests of the stack without any foundation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from find.interface import Group, ImageMemory, Interface, Outputs, PixelDecoder, Prompt
from find.tasks import generic, grounding, interactive, interleaved, retrieval

CHANNELS, TEXT_WIDTH, POOLED = (8, 12, 16, 24), 10, 6
CANVAS = (64, 96)


def small_interface(*, seed: int = 0, layers: int = 4, queries: int = 7) -> Interface:
    """Width 48 over a pyramid of width 32, so that the levels are projected; no bias or gain is left at its start."""
    torch.manual_seed(seed)
    decoder = PixelDecoder(channels=CHANNELS, width=32, mask_width=16, layers=1, heads=4, feedforward=40)
    interface = Interface(
        pixel_decoder=decoder,
        text_width=TEXT_WIDTH,
        width=48,
        heads=4,
        feedforward=64,
        layers=layers,
        queries=queries,
        semantic_width=20,
        region_points=8,
        pooled_width=POOLED,
    )
    with torch.no_grad():
        for parameter in interface.parameters():
            if parameter.ndim == 1:
                parameter += 0.1 * torch.randn_like(parameter)
    return interface.eval()


@dataclass(frozen=True)
class Inputs:
    """One image, one sentence, one caption, some texts and some strokes a row; all regions lie in their own row."""

    maps: tuple[Tensor, ...]
    pooled_image: Tensor
    aligned: Tensor
    texts: Tensor
    pooled_texts: Tensor
    texts_padding: Tensor
    text_slots_padding: Tensor
    strokes: Tensor
    strokes_padding: Tensor
    words: Tensor
    pooled_sentence: Tensor
    pooled_phrases: Tensor
    words_padding: Tensor
    entity_of_word: Tensor
    is_region: Tensor
    entities_padding: Tensor
    regions: Tensor
    caption: Tensor
    pooled_caption: Tensor
    caption_padding: Tensor

    @classmethod
    def random(cls, *, seed: int = 0, batch: int = 2) -> Inputs:
        """Three texts, strokes and entities a row; in every odd row the last of each is padding."""
        g = torch.Generator().manual_seed(seed)
        h, w = CANVAS
        maps = tuple(
            torch.randn(batch, c, h // s, w // s, generator=g) for c, s in zip(CHANNELS, (4, 8, 16, 32), strict=True)
        )
        last = torch.zeros(batch, 3, dtype=torch.bool)
        last[1::2, 2] = True
        texts_padding = torch.zeros(batch, 3, 4, dtype=torch.bool)
        texts_padding[:, 1, 2:] = True
        texts_padding |= last[..., None]
        words_padding = torch.zeros(batch, 9, dtype=torch.bool)
        words_padding[1::2, 7:] = True
        of_word = torch.tensor([-1, 0, 0, -1, 1, -1, 2, 2, -1]).repeat(batch, 1)
        of_word[1::2, 6:] = -1
        is_region = torch.tensor([False, True, True]).repeat(batch, 1) & ~last
        strokes, regions = (_boxes(batch, 3, g) & ~last[..., None, None] for _ in range(2))
        return cls(
            maps=maps,
            pooled_image=torch.randn(batch, POOLED, generator=g),
            aligned=torch.randn(batch, POOLED, h // 16, w // 16, generator=g),
            pooled_texts=torch.randn(batch, 3, POOLED, generator=g),
            pooled_sentence=torch.randn(batch, POOLED, generator=g),
            pooled_phrases=torch.randn(batch, 3, POOLED, generator=g) * ~(is_region | last)[..., None],
            pooled_caption=torch.randn(batch, POOLED, generator=g),
            texts=torch.randn(batch, 3, 4, TEXT_WIDTH, generator=g),
            texts_padding=texts_padding,
            text_slots_padding=last,
            strokes=strokes,
            strokes_padding=last,
            words=torch.randn(batch, 9, TEXT_WIDTH, generator=g),
            words_padding=words_padding,
            entity_of_word=of_word,
            is_region=is_region,
            entities_padding=last,
            regions=regions & is_region[..., None, None],
            caption=torch.randn(batch, 5, TEXT_WIDTH, generator=g),
            caption_padding=torch.arange(5) >= torch.tensor([5, 3])[torch.arange(batch) % 2][:, None],
        )

    def each(self, change: Callable[[Tensor], Tensor]) -> Inputs:
        """The inputs with every tensor changed, e.g. a row taken."""
        changed = {f.name: change(getattr(self, f.name)) for f in fields(self) if f.name != "maps"}
        return Inputs(maps=tuple(change(m) for m in self.maps), **changed)

    def memory(self, interface: Interface) -> ImageMemory:
        return interface.encode_image(self.maps, self.pooled_image, self.aligned)

    def prompts(self, interface: Interface, memory: ImageMemory) -> list[Prompt]:
        """Of all tasks."""
        return [
            generic.prompt(),
            self.texts_prompt(interface),
            interactive.prompt(interface, memory, self.strokes, self.strokes_padding),
            self.sentence_prompt(interface, memory),
            self.caption_prompt(interface),
        ]

    def texts_prompt(self, interface: Interface) -> Prompt:
        return grounding.prompt(interface, self.texts, self.texts_padding, self.text_slots_padding, self.pooled_texts)

    def caption_prompt(self, interface: Interface) -> Prompt:
        words = interface.project_text_tokens(self.caption, self.caption_padding)
        return Prompt(
            retrieval.PROTOTYPE,
            tokens={Group.CAPTION_TOKENS: words},
            foundation={Group.CAPTION: self.pooled_caption[:, None]},
        )

    def sentence_prompt(self, interface: Interface, references: ImageMemory) -> Prompt:
        rows = torch.arange(len(self.is_region))[:, None].expand_as(self.is_region)
        rows = rows.masked_fill(~self.is_region, -1)
        return interleaved.prompt(
            interface,
            interleaved.SEGMENTATION + interleaved.RETRIEVAL,
            self.words,
            self.words_padding,
            self.entity_of_word,
            self.is_region,
            self.entities_padding,
            interface.sampler(references, self.regions, rows),
            self.pooled_sentence,
            self.pooled_phrases + interface.aligned_regions(references, self.regions, rows),
        )

    def run(self, interface: Interface, *, deep: bool = False) -> Outputs:
        """The joint forward of all tasks."""
        memory = self.memory(interface)
        return interface(memory, self.prompts(interface, memory), deep=deep)

    def with_image_of(self, other: Inputs) -> Inputs:
        return replace(self, maps=other.maps, pooled_image=other.pooled_image, aligned=other.aligned)


def _boxes(batch: int, count: int, generator: torch.Generator) -> Tensor:
    """Random boxes of 2 to 20 pixels a side."""
    masks = torch.zeros(batch, count, *CANVAS, dtype=torch.bool)
    for mask in masks.flatten(0, 1):
        h, w = (int(torch.randint(2, 21, (), generator=generator)) for _ in range(2))
        y = int(torch.randint(0, CANVAS[0] - h, (), generator=generator))
        x = int(torch.randint(0, CANVAS[1] - w, (), generator=generator))
        mask[y : y + h, x : x + w] = True
    return masks
