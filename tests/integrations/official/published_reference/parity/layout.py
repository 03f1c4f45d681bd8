"""The original's names and layouts of what goes into and comes out of its decoder (reference sections 4, 8.5, 12)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from find.interface import Embeddings, Group, ImageMemory, Tokens
from find.model.model import FIND
from find.tasks import generic
from find.tasks.text_inputs import Sentences
from published_reference.parity.fixture import Fixture, Reference
from published_reference.recipes import entity_table

SEMANTIC = {
    "pred_captions": Group.OBJECT,
    "pred_retrievals": Group.IMAGE,
    "pred_gtexts": Group.GROUNDING,
    "pred_spatials": Group.SEGMENT,
    "pred_interleave_objects": Group.ENTITY,
    "pred_spatial_class": Group.SPATIAL,
    "pred_entity_class": Group.INTERLEAVED_ENTITY,
    "pred_interleave_image": Group.INTERLEAVED,
    "pred_retrievals_lang": Group.CAPTION,
    "pred_grounding_query": Group.DESCRIPTION,
}
PIXEL = {
    "pred_maskembs": Group.OBJECT,
    "pred_image_pixel": Group.IMAGE,
    "pred_smaskembs": Group.SEGMENT,
    "pred_imaskembs": Group.ENTITY,
    "pred_pspatials": Group.SPATIAL,
    "pred_entity_pixel": Group.INTERLEAVED_ENTITY,
    "pred_legend_pixel": Group.INTERLEAVED,
}
MASKS = {
    "pred_masks": Group.OBJECT,
    "pred_gmasks": Group.GROUNDING,
    "pred_smasks": Group.SEGMENT,
    "pred_imasks": Group.ENTITY,
}
NO_ENTITY, PADDED_WORD, PADDED_TEXT = -4, -5, -2


def check_outputs(
    fixture: Fixture, prefix: str, out: Embeddings, memory: ImageMemory, logits: Tensor | None = None
) -> None:
    """Compares every output of a decoder call that lies under the prefix; `logits` are those of classes."""
    for name in fixture.names(prefix + "."):
        leaf = name.removeprefix(prefix + ".")
        if leaf in SEMANTIC and SEMANTIC[leaf] in out.semantic:
            fixture.check(name, out.semantic[SEMANTIC[leaf]])
        elif leaf in PIXEL and PIXEL[leaf] in out.pixel:
            fixture.check(name, out.pixel[PIXEL[leaf]])
        elif leaf in MASKS and MASKS[leaf] in out.pixel:
            drawn = torch.einsum("bnm,bmhw->bnhw", out.pixel[MASKS[leaf]], memory.mask_features)
            fixture.check(name, drawn)
        elif leaf == "pred_logits" and logits is not None:
            fixture.check(name, logits)


def class_logits(reference: Reference, out: Embeddings) -> Tensor:
    return generic.class_logits(reference.model.interface, out.semantic[Group.OBJECT], reference.bank)


def check_all(fixture: Fixture, reference: Reference, prefix: str, layers: Sequence[Embeddings], memory) -> None:
    """The final outputs under `prefix.out`, those of the layers before under `prefix.aux.K`."""
    head = f"{prefix}." if prefix else ""
    check_outputs(fixture, f"{head}out", layers[-1], memory, class_logits(reference, layers[-1]))
    for number, layer in enumerate(layers[:-1]):
        check_outputs(fixture, f"{head}aux.{number}", layer, memory, class_logits(reference, layer))


# --- words ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Packed:
    """Real tokens only, rows padded at their ends: values (L, B, C), padding (B, L), index (L, B)."""

    values: Tensor
    padding: Tensor
    index: Tensor


def pack(tokens: Tokens, *, filler: int, none: int = -1) -> Packed:
    """The original's layout; `filler` is the index of padding, `none` that of tokens without a text or entity."""
    counts = (~tokens.padding).sum(dim=1)
    order = tokens.padding.long().sort(dim=1, stable=True).indices[:, : int(counts.max())]
    padding = tokens.padding.gather(1, order)
    values = tokens.values.gather(1, order[..., None].expand(-1, -1, tokens.values.shape[2]))
    index = tokens.index.gather(1, order)
    index = torch.where(index < 0, none, index).masked_fill(padding, filler)
    return Packed(values.masked_fill(padding[..., None], 0).transpose(0, 1), padding, index.T)


def check_tokens(
    fixture: Fixture, model: FIND, texts: Sequence[str], prefix: str, context: int
) -> tuple[Tensor, Tensor]:
    """Compares tokens padded to the original's context; gives ids and padding in that length."""
    text = model.language.tokenize(texts)
    ids = torch.full((len(texts), context), model.language.padding_id)
    padding = torch.ones(len(texts), context, dtype=torch.bool)
    ids[:, : text.ids.shape[1]], padding[:, : text.ids.shape[1]] = text.ids, text.padding
    fixture.same(f"{prefix}.input_ids", ids)
    fixture.same(f"{prefix}.attention_mask", ~padding)
    return ids, padding


def projected(model: FIND, ids: Tensor, padding: Tensor) -> Tensor:
    """Projected LLaMA tokens, of padding too."""
    return model.interface.text_projection(model.language.hidden(ids, padding))


def table_of(model: FIND, text: str, spans: Sequence[Sequence[int]]) -> Tensor:
    """Which tokens each entity owns: (E, L)."""
    return entity_table(model.language.sentencepiece_offsets([text]), torch.tensor([[*spans]]))[0]


def check_sentences(fixture: Fixture, model: FIND, prefix: str, sentences: Sentences) -> None:
    """Compares the decoder's interleaved input under the prefix."""
    words = model.interface.project_text_tokens(sentences.tokens, sentences.token_padding, sentences.entity_of_token)
    packed = pack(words, filler=PADDED_WORD, none=NO_ENTITY)
    number = torch.arange(sentences.padding.shape[1])[:, None, None]
    fixture.check(f"{prefix}.interleave_tokens", packed.values)
    fixture.same(f"{prefix}.interleave_nonzero_mask", packed.padding)
    fixture.same(f"{prefix}.interleave_entity_indices", packed.index)
    fixture.same(f"{prefix}.interleave_entity_mask", number == packed.index.T)
    fixture.same(f"{prefix}.interleave_isvisual", sentences.is_region.T)
    fixture.same(f"{prefix}.interleave_query_indices", number[:, :, 0].expand(-1, len(sentences.padding)))


def check_samples(fixture: Fixture, prefix: str, kind: str, tokens: Sequence[Tokens]) -> None:
    """Compares sampled visual tokens of one prompt: `kind` is interleave or spatial."""
    for level, sampled in enumerate(tokens):
        fixture.check(f"{prefix}.src_{kind}_queries.{level}", sampled.values.transpose(0, 1))
        fixture.same(f"{prefix}.src_{kind}_maskings.{level}", sampled.padding)
        fixture.same(f"{prefix}.src_{kind}_indices.{level}", sampled.index[..., None])
