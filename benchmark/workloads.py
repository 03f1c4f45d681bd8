"""What `benchmark/interface.py` measures: sizes, inputs and the steps of each case.

Inputs are those of the original's own measurement: an image has 101 queries, 4 strokes and 2 visual entities (512
points a level each kind), 4 texts of 40 tokens, a class prompt of 12, a caption of 20, a sentence of 40 tokens with 4
entities, 10 instances; text enters as vectors of the interface's width; features of the pixel decoder are given and
get no gradient, except where a case says otherwise. Values and weights are random.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

import reference_path  # noqa: F401  before published_reference
import torch
import yaml
from published_reference.losses import MaskTargets, OfficialCriterion, Targets, UncertainPlaces
from torch import Tensor

from find.foundations.focal import Flavour, FocalConfig, FocalNet
from find.interface import Embeddings, Group, ImageMemory, Interface, Prompt, Tokens
from find.model.building import build_interface
from find.model.config import FINDConfig
from find.tasks import generic, grounding, interactive, interleaved, retrieval
from find.tasks.regions import own_rows

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
CLASSES, POINTS = 133, 12544
STROKES, TEXTS, TEXT, CAPTION, CLASS_PROMPT, SENTENCE, INSTANCES = 4, 4, 40, 20, 12, 40, 10
IS_REGION = (False, True, False, True)
Step = Callable[[], object]


@dataclass(frozen=True)
class Settings:
    """How to run: device, fp32 or bf16 under autocast, compiled or not."""

    device: str = "cpu"
    precision: str = "fp32"
    compile: bool = False

    def autocast(self) -> AbstractContextManager:
        return torch.autocast(self.device, torch.bfloat16, enabled=self.precision == "bf16")


@dataclass(frozen=True)
class Size:
    """A model's sizes and the batch it gets."""

    config: FINDConfig
    channels: tuple[int, ...]  # of the backbone's maps
    side: int
    batch: int

    @classmethod
    def of(cls, file: str, *, channels: tuple[int, ...], side: int, batch: int) -> Size:
        settings = yaml.safe_load((CONFIGS / file).read_text())["model"]["config"]
        return cls(FINDConfig.from_dict(settings, source=file), channels, side, batch)


SIZES = {
    "published": Size.of("official/find_focalt_llama.yaml", channels=(96, 192, 384, 768), side=512, batch=2),
    "tiny": Size.of("tiny.yaml", channels=(48, 96, 192, 384), side=160, batch=8),
}


@dataclass(frozen=True)
class Inputs:
    """Random inputs of all tasks."""

    maps: tuple[Tensor, ...]  # of the backbone, fine to coarse
    levels: tuple[Tensor, ...]  # of the pixel decoder, coarse to fine
    mask_features: Tensor
    strokes: Tensor
    texts: Tensor
    caption: Tensor
    class_prompt: Tensor
    sentence: Tensor
    bank: Tensor
    targets: Targets

    @classmethod
    def random(cls, size: Size, device: str) -> Inputs:
        sizes, b, side = size.config.interface, size.batch, size.side
        width = sizes.width

        def maps(channels: Sequence[int], strides: Sequence[int]) -> tuple[Tensor, ...]:
            return tuple(torch.randn(b, c, side // s, side // s) for c, s in zip(channels, strides, strict=True))

        masks = _discs(b, INSTANCES, side)
        all_of = torch.ones(b, INSTANCES, dtype=torch.bool)
        four = MaskTargets(masks[:, :TEXTS], all_of[:, :TEXTS])
        caption = torch.randn(b, CAPTION, width)
        words = Tokens(caption, torch.zeros(b, CAPTION, dtype=torch.bool), torch.full((b, CAPTION), -1))
        targets = Targets(
            segments=MaskTargets(masks, all_of),
            labels=torch.randint(CLASSES, (b, INSTANCES)),
            strokes=four,
            phrases=four,
            text_number=torch.arange(TEXTS).expand(b, -1),
            is_free_text=torch.ones(b, dtype=torch.bool),
            entities=four,
            is_region=torch.tensor(IS_REGION).expand(b, -1),
            class_number=torch.arange(b),
            caption_words=words,
        )
        return cls(
            maps=maps(size.channels, (4, 8, 16, 32)),
            levels=maps((sizes.decoder_width,) * 3, (32, 16, 8)),
            mask_features=maps((sizes.mask_width,), (4,))[0],
            strokes=masks[:, :STROKES],
            texts=torch.randn(b, TEXTS, TEXT, width),
            caption=caption,
            class_prompt=torch.randn(b, CLASS_PROMPT, width),
            sentence=torch.randn(b, SENTENCE, width),
            bank=torch.randn(CLASSES + 1, sizes.semantic_width),
            targets=targets,
        )

    def pixels(self, interface: Interface) -> ImageMemory:
        """The memory of the given levels."""
        return interface.memory_of_levels(self.levels, self.mask_features)

    def prompts(self, interface: Interface, memory: ImageMemory) -> list[Prompt]:
        """Of all tasks."""
        b, device = len(self.texts), self.texts.device
        nothing = torch.zeros(b, TEXTS, dtype=torch.bool, device=device)
        is_region = self.targets.is_region
        place = torch.arange(SENTENCE, device=device)
        entity = torch.where((place < 8 * len(IS_REGION)) & (place % 8 < 4), place // 8, -1).expand(b, -1)
        regions = interface.sampler(memory, self.strokes & is_region[..., None, None], own_rows(~is_region))
        return [
            generic.prompt(),
            grounding.prompt(interface, self.texts, nothing[..., None].expand(-1, -1, TEXT), nothing),
            interactive.prompt(interface, memory, self.strokes, nothing),
            interleaved.prompt(
                interface,
                interleaved.SEGMENTATION + interleaved.RETRIEVAL,
                self.sentence,
                torch.zeros_like(entity, dtype=torch.bool),
                entity,
                is_region,
                nothing,
                regions,
            ),
            _words(interface, self.caption),
        ]


def _words(interface: Interface, vectors: Tensor) -> Prompt:
    padding = torch.zeros(vectors.shape[:2], dtype=torch.bool, device=vectors.device)
    return Prompt(retrieval.PROTOTYPE, tokens={Group.CAPTION_TOKENS: interface.project_text_tokens(vectors, padding)})


def _discs(batch: int, count: int, side: int) -> Tensor:
    """Masks of discs that do not touch, four in a row."""
    number = torch.arange(count)
    x, y = (number % 4 + 0.5) * side / 4, (number // 4 + 0.5) * side / 3
    pixel = torch.arange(side) + 0.5
    square = (pixel[None, None] - x[:, None, None]) ** 2 + (pixel[None, :, None] - y[:, None, None]) ** 2
    return (square < (side / 11) ** 2).expand(batch, -1, -1, -1).clone()


# --- cases ------------------------------------------------------------------------------------------------------------


def _interface(size: Size, settings: Settings) -> tuple[Interface, Inputs]:
    with torch.device(settings.device):
        interface = build_interface(
            size.config, channels=size.channels, text_width=size.config.interface.width, pooled_width=None
        )
        inputs = Inputs.random(size, settings.device)
    if settings.compile:
        interface.compile()
    return interface, inputs


def backbone(size: Size, settings: Settings) -> Step:
    """Focal-T, forward: the same operations as the original's, so its time compares the machines."""
    config = FocalConfig(Flavour.DEPTHWISE, size.channels[0], (2, 2, 6, 2), (3, 3, 3, 3))
    with torch.device(settings.device):
        net, image = FocalNet(config).eval(), torch.randn(size.batch, 3, size.side, size.side)

    @torch.inference_mode()
    def step() -> object:
        with settings.autocast():
            return net(image)

    return step


def pixel_decoder(size: Size, settings: Settings) -> Step:
    """The pixel decoder, forward: the same operations as the original's."""
    interface, inputs = _interface(size, settings)

    @torch.inference_mode()
    def step() -> object:
        with settings.autocast():
            return interface.pixel_decoder(inputs.maps)

    return step


def _forward(size: Size, settings: Settings, *, prompted: bool, draw: bool) -> Step:
    interface, inputs = _interface(size, settings)
    interface.eval()

    @torch.inference_mode()
    def step() -> object:
        with settings.autocast():
            memory = inputs.pixels(interface)
            prompts = inputs.prompts(interface, memory) if prompted else [generic.prompt()]
            final = interface(memory, prompts).final
            return _draw(final, memory) if draw else final

    return step


def _draw(final: Embeddings, memory: ImageMemory) -> list[Tensor]:
    groups = [g for g in (Group.OBJECT, Group.GROUNDING, Group.SEGMENT, Group.ENTITY) if g in final.pixel]
    return [final.pixel[group] @ memory.mask_features.flatten(2) for group in groups]


def forward(size: Size, settings: Settings) -> Step:
    """Stack with the prompts of all tasks: both embeddings of every group."""
    return _forward(size, settings, prompted=True, draw=False)


def forward_and_masks(size: Size, settings: Settings) -> Step:
    """The same and the masks of all proposals of all tasks at a quarter of the canvas, which the original returns."""
    return _forward(size, settings, prompted=True, draw=True)


def forward_no_prompt(size: Size, settings: Settings) -> Step:
    """Stack with object proposals and image query alone, and the proposals' masks."""
    return _forward(size, settings, prompted=False, draw=True)


def train_step(size: Size, settings: Settings) -> Step:
    """Forward with all tasks' prompts, all losses before and after every layer at 12544 points, backward."""
    interface, inputs = _interface(size, settings)
    interface.train()
    criterion = _criterion()

    def step() -> None:
        interface.zero_grad()
        with settings.autocast():
            memory = inputs.pixels(interface)
            layers = interface(memory, inputs.prompts(interface, memory), deep=True).layers
            classes = interface(None, [_words(interface, inputs.class_prompt)], deep=True).layers
        rows = [layer.semantic[Group.CAPTION][:, 0].float() for layer in classes]
        layers = [layer.float() for layer in layers]
        criterion(interface, layers, rows, memory.mask_features.float(), inputs.bank, inputs.targets).total.backward()

    return step


def _criterion() -> OfficialCriterion:
    task = interleaved.TASK
    return OfficialCriterion(places=UncertainPlaces(POINTS), interactive=interactive.TASK, words=task, regions=task)


def _panoptic(size: Size, settings: Settings, *, decode: bool) -> Step:
    interface, inputs = _interface(size, settings)
    interface.train()
    criterion = _criterion()
    targets = Targets(segments=inputs.targets.segments, labels=inputs.targets.labels)

    def step() -> None:
        interface.zero_grad()
        with settings.autocast():
            memory = interface.encode_image(inputs.maps) if decode else inputs.pixels(interface)
            layers = interface(memory, [generic.prompt()], deep=True).layers
        layers = [layer.float() for layer in layers]
        criterion(interface, layers, (), memory.mask_features.float(), inputs.bank, targets).total.backward()

    return step


def panoptic_train_step(size: Size, settings: Settings) -> Step:
    """Object proposals and image query alone, with the panoptic losses before and after every layer; backward."""
    return _panoptic(size, settings, decode=False)


def panoptic_train_step_with_decoder(size: Size, settings: Settings) -> Step:
    """The same from the backbone's maps, gradients through the pixel decoder."""
    return _panoptic(size, settings, decode=True)


def _mask2former(size: Size, settings: Settings, *, decode: bool) -> Step:
    from transformers import Mask2FormerConfig
    from transformers.models.mask2former.modeling_mask2former import (
        Mask2FormerLoss,
        Mask2FormerPixelDecoder,
        Mask2FormerTransformerModule,
    )

    sizes = size.config.interface
    config = Mask2FormerConfig(
        hidden_dim=sizes.width,
        feature_size=sizes.decoder_width,
        mask_feature_size=sizes.mask_width,
        num_queries=sizes.queries - 1,
        decoder_layers=sizes.layers + 1,
        num_attention_heads=sizes.heads,
        dim_feedforward=sizes.feedforward,
        encoder_layers=sizes.decoder_layers,
        encoder_feedforward_dim=sizes.feedforward,
        train_num_points=POINTS,
        num_labels=CLASSES,
        dropout=0.0,
    )
    weights = {
        "loss_cross_entropy": config.class_weight,
        "loss_mask": config.mask_weight,
        "loss_dice": config.dice_weight,
    }
    inputs = _interface(size, replace(settings, compile=False))[1]
    with torch.device(settings.device):
        decoder = Mask2FormerPixelDecoder(config, size.channels)
        torch.nn.init.normal_(decoder.level_embed)
        stack = Mask2FormerTransformerModule(sizes.decoder_width, config)
        classify = torch.nn.Linear(sizes.width, CLASSES + 1)
        losses = Mask2FormerLoss(config, weights)
    model = torch.nn.ModuleList([stack, classify, *([decoder] if decode else [])]).train()
    if settings.compile:
        stack.compile()
    masks = [mask.float() for mask in inputs.targets.segments.masks]
    labels = list(inputs.targets.labels)

    def step() -> None:
        model.zero_grad()
        with settings.autocast():
            levels, features = inputs.levels, inputs.mask_features
            if decode:
                decoded = decoder(inputs.maps, return_dict=True)
                levels, features = decoded.multi_scale_features, decoded.mask_features
            out = stack(list(levels), features)
            logits = [classify(state.transpose(0, 1)).float() for state in out.intermediate_hidden_states]
            drawn = [mask.float() for mask in out.masks_queries_logits]
        before = [
            {"masks_queries_logits": mask, "class_queries_logits": logit}
            for mask, logit in zip(drawn[:-1], logits[:-1], strict=True)
        ]
        parts = losses(drawn[-1], logits[-1], masks, labels, before)
        sum(weights[key[:-2] if key[-1].isdigit() else key] * value for key, value in parts.items()).backward()

    return step


def mask2former_train_step(size: Size, settings: Settings) -> Step:
    """transformers' Mask2Former: its decoder and class head on the same maps, its losses with auxiliary ones."""
    return _mask2former(size, settings, decode=False)


def mask2former_train_step_with_decoder(size: Size, settings: Settings) -> Step:
    """The same from the backbone's maps, with its own pixel decoder, gradients through it."""
    return _mask2former(size, settings, decode=True)


CASES: dict[str, Callable[[Size, Settings], Step]] = {
    "backbone": backbone,
    "pixel decoder": pixel_decoder,
    "forward": forward,
    "forward and masks": forward_and_masks,
    "forward, no prompt": forward_no_prompt,
    "train step": train_step,
    "panoptic train step": panoptic_train_step,
    "Mask2Former train step": mask2former_train_step,
    "panoptic train step, with pixel decoder": panoptic_train_step_with_decoder,
    "Mask2Former train step, with pixel decoder": mask2former_train_step_with_decoder,
}
