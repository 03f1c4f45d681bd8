"""How the published FIND is asked (reference section 10), where that differs from `FIND`'s own methods.

Each recipe takes a converted model. `FIND`'s methods do the sane thing on the same weights; these give the numbers
of the original's benchmark, its tokens of an entity and its detour for entities of other images included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from find.foundations.llama import LlamaLanguage
from find.interface import Embeddings, Group, ImageMemory, Prompt, Slots, Tokens
from find.model.model import FIND
from find.query.query import RenderedQuery
from find.tasks import grounding, interleaved
from find.tasks.grounding import Phrases
from find.tasks.prompted import gather_rows
from find.tasks.regions import own_rows
from find.tasks.text_inputs import Sentences

BLANK_SIDE = 640
"""Of the image that text entities are read on."""
FILLER = -2
"""Index of queries that fill up a row: that of no token."""
SENTENCE = interleaved.SEGMENTATION + interleaved.RETRIEVAL


# --- words ------------------------------------------------------------------------------------------------------------


def entity_table(offsets: Int[Tensor, "q l 2"], spans: Int[Tensor, "q e 2"]) -> Bool[Tensor, "q e l"]:
    """Which tokens lie wholly inside each entity's span, by the tokenizer's own offsets.

    These include the space before a word, so the first word of an entity that starts at the word itself is left out.
    """
    start, end = offsets[:, None, :, 0], offsets[:, None, :, 1]
    return (spans[..., 0, None] <= start) & (spans[..., 1, None] >= end) & (start != end)


def entity_index(table: Bool[Tensor, "q e l"]) -> Int[Tensor, "q l"]:
    """The entity of each token, -1 for none; where spans overlap, the sum of the numbers, as the original has it."""
    number = torch.arange(table.shape[1], device=table.device)[:, None]
    return torch.where(table.any(dim=1), (table * number).sum(dim=1), -1)


def read_sentences(model: FIND, sentences: Sequence[RenderedQuery]) -> Sentences:
    """Sentences whose entities own the tokens that the original gives them."""
    language: LlamaLanguage = model.language
    read = Sentences.read(language, sentences, model.device)
    offsets = language.sentencepiece_offsets([sentence.text for sentence in sentences]).to(model.device)
    width = read.padding.shape[1]
    spans = [[*s.spans, *[(0, 0)] * (width - len(s.spans))] for s in sentences]
    return replace(read, entity_of_token=entity_index(entity_table(offsets, torch.tensor(spans, device=model.device))))


def whole_texts(model: FIND, texts: Sequence[str]) -> Sentences:
    """Captions as sentences with one entity that owns every token, the start token too (interleaved text retrieval)."""
    read = Sentences.read(model.language, [RenderedQuery(t, ((0, len(t)),), (False,)) for t in texts], model.device)
    return replace(read, entity_of_token=torch.where(read.token_padding, -1, 0))


def unpadded(slots: Slots) -> Slots:
    """Queries that fill an image's row up to the batch's width, as the original trains with them: they read nothing,
    but the other queries of their group see them."""
    return Slots(slots.index.masked_fill(slots.padding, FILLER), torch.zeros_like(slots.padding))


# --- entities of other images -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Owner:
    """The entities that a call is about: sentence and place in it, one row each."""

    sentence: Int[Tensor, " n"]
    entity: Int[Tensor, " n"]

    def words(self, sentences: Sentences) -> tuple[Float[Tensor, "n l w"], Bool[Tensor, "n l"]]:
        """The sentences' tokens, all but the entity's own padding."""
        own = sentences.entity_of_token[self.sentence] == self.entity[:, None]
        return sentences.tokens[self.sentence], ~own


@dataclass(frozen=True)
class RegionEntity:
    """A region read on its own image: the visual tokens to hand over, its embedding, and what that was chosen from."""

    tokens: tuple[Tokens, ...]
    embedding: Float[Tensor, "n d"]
    outputs: Embeddings


def read_regions(
    model: FIND, memory: ImageMemory, masks: Bool[Tensor, "n h w"], sentences: Sentences, owner: Owner
) -> RegionEntity:
    """Regions, one a row of the memory of their own images: each alone with its own words.

    The embedding is that of the entity proposal which the region's query fits best in the pixel space.
    """
    tokens, padding = owner.words(sentences)
    alone = torch.zeros(len(masks), 1, dtype=torch.bool, device=masks.device)
    sampled = model.interface.sampler(memory, masks[:, None], own_rows(alone))
    entity = torch.where(padding, -1, 0)
    prompt = interleaved.prompt(model.interface, SENTENCE, tokens, padding, entity, ~alone, alone, sampled)
    out = model.interface(memory, [prompt]).final
    fit = out.pixel[Group.ENTITY] @ out.pixel[Group.INTERLEAVED_ENTITY].mT
    chosen = gather_rows(out.semantic[Group.ENTITY], fit.argmax(dim=1))[:, 0]
    return RegionEntity(sampled, chosen, out)


def blank_memory(model: FIND, side: int = BLANK_SIDE) -> ImageMemory:
    """Of an image that is zero after normalisation."""
    canvas = model.vision.mean.expand(1, 3, side, side)
    return model.interface.encode_image(model.vision(canvas).maps)


def read_phrases(model: FIND, blank: ImageMemory, sentences: Sentences, owner: Owner) -> Embeddings:
    """Phrases on the blank image, each as a text to be grounded; its embedding is the description query's."""
    tokens, padding = owner.words(sentences)
    count = len(tokens)
    rows = torch.zeros(count, dtype=torch.long, device=tokens.device)
    texts = Phrases(tokens[:, None], padding[:, None], torch.zeros(count, 1, dtype=torch.bool, device=tokens.device))
    return model.interface(select(blank, rows), [texts.prompt(model.interface)]).final


def hand_over(
    parts: Sequence[tuple[Int[Tensor, " n"], Int[Tensor, " n"], tuple[Tokens, ...]]], sentences: int
) -> tuple[Tokens, ...] | None:
    """Visual tokens of regions, put together sentence by sentence; a token's index is its region's place there.

    Args:
        parts: sentence and place of each region, and the tokens of each of the levels.
    """
    if not parts:
        return None
    levels = []
    for level in range(len(parts[0][2])):
        rows: list[list[Tokens]] = [[] for _ in range(sentences)]
        for sentence, entity, tokens in parts:
            for k, (row, number) in enumerate(zip(sentence.tolist(), entity.tolist(), strict=True)):
                values, padding = tokens[level].values[k], tokens[level].padding[k]
                rows[row].append(Tokens(values, padding, torch.full_like(padding, number, dtype=torch.long)))
        levels.append(_padded(rows))
    return tuple(levels)


def ask_sentence(
    model: FIND, memory: ImageMemory, sentences: Sentences, regions: tuple[Tokens, ...] | None
) -> Embeddings:
    """Full sentences, with the visual tokens of their regions, one a row of the memory."""
    return model.interface(memory, [sentences.prompt(model.interface, SENTENCE, regions)]).final


# --- answers ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Chosen:
    """Scores of proposals, the best one of each query, and its mask logits at a quarter of the canvas."""

    scores: Float[Tensor, "b n t"]
    proposal: Int[Tensor, "b t"]
    logits: Float[Tensor, "b t h w"]

    @classmethod
    def best(cls, scores: Tensor, pixel: Float[Tensor, "b n m"], memory: ImageMemory) -> Chosen:
        proposal = scores.argmax(dim=1)
        drawn = torch.einsum("btm,bmhw->bthw", gather_rows(pixel, proposal), memory.mask_features)
        return cls(scores, proposal, drawn)


def ground(model: FIND, memory: ImageMemory, prompt: Prompt) -> tuple[Chosen, Embeddings]:
    """Grounded segmentation of all texts of each image in one pass."""
    out = model.interface(memory, [prompt]).final
    scores = grounding.TASK.scores(model.interface, out)
    return Chosen.best(scores, out.pixel[Group.GROUNDING], memory), out


def choose_entities(model: FIND, memory: ImageMemory, out: Embeddings, is_region: Bool[Tensor, "b e"]) -> Chosen:
    """The best proposal of every entity: regions by the pixel space, phrases by the semantic one."""
    scores = model.entity_task(is_region).scores(model.interface, out)
    return Chosen.best(scores, out.pixel[Group.ENTITY], memory)


def stretch(logits: Float[Tensor, "b t h w"], size: tuple[int, int]) -> Float[Tensor, "b t H W"]:
    """Masks of interleaved grounding as the original's evaluation makes them: the small map of the whole canvas is
    stretched over the picture, so that they are displaced wherever the canvas is larger than the picture."""
    return F.interpolate(logits, size, mode="bicubic", antialias=True, align_corners=False)


def select(memory: ImageMemory, rows: Int[Tensor, " n"]) -> ImageMemory:
    """Rows of a memory, in any order and number."""
    return replace(
        memory,
        levels=tuple(level[rows] for level in memory.levels),
        mask_features=memory.mask_features[rows],
        attention_features=tuple(features[rows] for features in memory.attention_features),
        pooled=None if memory.pooled is None else memory.pooled[rows],
    )


def _padded(rows: Sequence[Sequence[Tokens]]) -> Tokens:
    """Unbatched tokens, concatenated within a row, as a padded batch."""
    sample = next(tokens for row in rows for tokens in row)
    width = max(sum(len(tokens.padding) for tokens in row) for row in rows)
    values = sample.values.new_zeros(len(rows), width, sample.values.shape[-1])
    padding = torch.ones(len(rows), width, dtype=torch.bool, device=values.device)
    index = torch.full((len(rows), width), -1, device=values.device)
    for number, row in enumerate(rows):
        place = 0
        for tokens in row:
            end = place + len(tokens.padding)
            values[number, place:end], padding[number, place:end] = tokens.values, tokens.padding
            index[number, place:end] = tokens.index
            place = end
    return Tokens(values, padding, index)
