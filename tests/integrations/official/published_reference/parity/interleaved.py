"""Replays of interleaved sentences: grounded in one image, and with regions of other images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from find.interface import Embeddings, Group, ImageMemory, Tokens
from find.query.query import RenderedQuery
from find.tasks import generic, interactive
from find.tasks.regions import own_rows
from find.tasks.text_inputs import Sentences
from published_reference.parity.fixture import Fixture, Reference
from published_reference.parity.layout import (
    PADDED_TEXT,
    check_all,
    check_outputs,
    check_samples,
    check_sentences,
    check_tokens,
    pack,
    projected,
    table_of,
)
from published_reference.parity.pictures import frame_of, remember
from published_reference.recipes import (
    SENTENCE,
    Owner,
    RegionEntity,
    ask_sentence,
    blank_memory,
    choose_entities,
    hand_over,
    read_phrases,
    read_regions,
    read_sentences,
    stretch,
)

DUMMY = {"interleave": -8, "spatial": -9}
"""Index of the masked visual token that the original gives a phrase in place of a region."""


def rendered(about: Mapping[str, Any]) -> RenderedQuery:
    spans = tuple(tuple(entity["span"]) for entity in about["entities"])
    return RenderedQuery(about["sentence"], spans, tuple(entity["type"] == "visual" for entity in about["entities"]))


def interleave_grounding(reference: Reference, fixture: Fixture) -> None:
    model, sentence = reference.model, rendered(reference.meta["interleave_grounding"])
    ids, padding = check_tokens(fixture, model, [sentence.text], "tokens", reference.context)
    fixture.check("token_emb", projected(model, ids, padding))
    check_table(fixture, reference, sentence)
    fixture.same("is_visual", torch.tensor(sentence.is_region))
    image, marks = fixture.given("image"), fixture.given("interactive")
    fixture.given("masks")  # what should be found; the decoder never sees it
    sentences = read_sentences(model, [sentence])
    check_sentences(fixture, model, "call.extra", sentences)
    fixture.same("call.extra.interleave_query_pos_mask.0", marks)
    fixture.same("call.extra.interleave_query_neg_mask.0", torch.zeros_like(marks))

    memory = remember(reference, image)
    regions = model.interface.sampler(memory, marks[None], own_rows(~sentences.is_region))
    prompt = sentences.prompt(model.interface, SENTENCE, regions)
    layers = model.interface(memory, [generic.prompt(), prompt], deep=True).layers
    check_all(fixture, reference, "call", layers, memory)
    chosen = choose_entities(model, memory, layers[-1], sentences.is_region)
    fixture.check("score", chosen.scores)
    fixture.same("selected", chosen.proposal[0])
    size = tuple(fixture.arrays["grounding_mask"].shape[-2:])
    fixture.check("grounding_mask", stretch(chosen.logits, size)[0])


@dataclass(frozen=True)
class Handed:
    """A sentence whose entities were read one by one, each on its own image."""

    sentences: Sentences
    region: RegionEntity
    phrases: Embeddings
    embeddings: Tensor  # of the entities, in order: "e d"
    tokens: tuple[Tokens, ...]
    owners: tuple[Owner, Owner]  # of the regions and of the phrases


def read_entities(reference: Reference, memory: ImageMemory, mask: Tensor, blank: ImageMemory) -> Handed:
    """The cross-image sentence of the fixtures: its regions all lie in one reference image."""
    model = reference.model
    sentences = read_sentences(model, [rendered(reference.meta["interleave_cross_image"])])
    is_region = sentences.is_region[0]
    places = [is_region.nonzero()[:, 0], (~is_region).nonzero()[:, 0]]
    owners = tuple(Owner(torch.zeros_like(place), place) for place in places)
    region = read_regions(model, memory, mask, sentences, owners[0])
    phrases = read_phrases(model, blank, sentences, owners[1])
    embeddings = region.embedding.new_zeros(len(is_region), region.embedding.shape[1])
    embeddings[places[0]] = region.embedding
    embeddings[places[1]] = phrases.semantic[Group.DESCRIPTION][:, 0]
    tokens = hand_over([(owners[0].sentence, owners[0].entity, region.tokens)], 1)
    return Handed(sentences, region, phrases, embeddings, tokens, owners)


def demo_interleave(reference: Reference, fixture: Fixture) -> None:
    model, interface = reference.model, reference.model.interface
    memory = remember(reference, fixture.given("reference_image"))
    mask = fixture.given("reference_mask")
    blank = blank_memory(model, reference.sizes["criterion"]["blank_image_side"])
    sentence = rendered(reference.meta["interleave_cross_image"])
    ids, padding = check_tokens(fixture, model, [sentence.text], "tokens", reference.context)
    fixture.check("token_emb", projected(model, ids, padding))
    check_table(fixture, reference, sentence)

    handed = read_entities(reference, memory, mask, blank)
    _check_region(fixture, reference, memory, mask, handed)
    _check_phrases(fixture, reference, blank, handed)
    entity = "entity.interleave_"
    fixture.check(f"{entity}class_proposals.0", handed.region.outputs.semantic[Group.ENTITY])
    fixture.check(f"{entity}pixel_proposals.0", handed.region.outputs.pixel[Group.ENTITY])
    fixture.check(f"{entity}pixel_query.0", handed.region.outputs.pixel[Group.INTERLEAVED_ENTITY])
    fixture.check(f"{entity}class_query.0", handed.region.outputs.semantic[Group.INTERLEAVED_ENTITY])
    for number in handed.owners[1].entity.tolist():
        fixture.check(f"{entity}class_query.{number}", handed.embeddings[number, None, None])

    check_sentences(fixture, model, "extra", handed.sentences)
    for name, kind in (("refint_tokens", "interleave"), ("refimg_tokens", "spatial")):
        padded = [_with_dummies(tokens, len(handed.owners[1].entity), DUMMY[kind]) for tokens in handed.tokens]
        check_samples(fixture, f"extra.{name}", kind, padded)

    both = [generic.prompt(), handed.sentences.prompt(interface, SENTENCE, handed.tokens)]
    check_outputs(fixture, "final", interface(blank, both).final, blank)
    target = fixture.given("target_image")
    memory = remember(reference, target)
    out = interface(memory, both).final
    check_outputs(fixture, "target", out, memory)
    chosen = choose_entities(model, memory, out, handed.sentences.is_region)
    fixture.check("target_score", chosen.scores)
    fixture.same("target_selected", chosen.proposal[0])
    fixture.same("target_masks", frame_of(target).crop(chosen.logits[0]).sigmoid() > 0.5)


def retrieval_interleave(reference: Reference, fixture: Fixture) -> None:
    model, about = reference.model, reference.meta["interleave_cross_image"]
    sentence = rendered(about)
    check_tokens(fixture, model, [sentence.text], "tokens", reference.context)
    check_table(fixture, reference, sentence)
    blank = blank_memory(model, reference.sizes["criterion"]["blank_image_side"])
    memory = remember(reference, fixture.given("reference_image"))
    handed = read_entities(reference, memory, fixture.given("reference_mask"), blank)
    memory = remember(reference, fixture.given("target_image"))
    out = model.interface(memory, [generic.prompt()]).final
    fixture.check("image_embeds", out.semantic[Group.IMAGE])
    fixture.check("object_queries_semantic", out.semantic[Group.OBJECT])
    whole = ask_sentence(model, memory, handed.sentences, handed.tokens)
    fixture.check("interleave_embeds", whole.semantic[Group.INTERLEAVED])
    fixture.check("interleave_entities", handed.embeddings)
    ids = [entity["id"] if entity["type"] == "visual" else -1 for entity in about["entities"]]
    fixture.same("interleave_ids", torch.tensor(ids))
    fixture.given("image_ids")


def check_table(fixture: Fixture, reference: Reference, sentence: RenderedQuery) -> None:
    table = table_of(reference.model, sentence.text, sentence.spans)
    padded = torch.zeros(len(table), reference.context, dtype=torch.bool)
    padded[:, : table.shape[1]] = table
    fixture.same("entity_to_tokens", padded)


def _check_region(fixture: Fixture, reference: Reference, memory: ImageMemory, mask: Tensor, handed: Handed) -> None:
    """The two runs on the reference image: with the interleaved input, and with a stroke (unused afterwards)."""
    model, interface = reference.model, reference.model.interface
    words, padding = handed.owners[0].words(handed.sentences)
    kept = ~padding[0]
    alone = Sentences(
        tokens=words[:, kept],
        token_padding=padding[:, kept],
        pooled=None,
        entity_of_token=torch.zeros(1, int(kept.sum()), dtype=torch.long),
        is_region=torch.ones(1, 1, dtype=torch.bool),
        padding=torch.zeros(1, 1, dtype=torch.bool),
        offsets=torch.zeros(1, int(kept.sum()), 2, dtype=torch.long),
        unknown=(),
    )
    check_sentences(fixture, model, "call.0.extra", alone)
    for call, kind in ((0, "interleave"), (1, "spatial")):
        fixture.same(f"call.{call}.extra.{kind}_query_pos_mask", mask[None])
        fixture.same(f"call.{call}.extra.{kind}_query_neg_mask", torch.zeros_like(mask)[None])
        check_samples(fixture, f"call.{call}.out", kind, handed.region.tokens)
    whole = interface(memory, [generic.prompt()]).final
    check_outputs(fixture, "call.0.out", handed.region.outputs, memory)
    check_outputs(fixture, "call.0.out", whole, memory)

    stroke = interactive.prompt(interface, memory, mask[None], torch.zeros(1, 1, dtype=torch.bool))
    fixture.same("call.1.extra.spatial_query_indices", torch.zeros(1, 1))
    check_outputs(fixture, "call.1.out", interface(memory, [generic.prompt(), stroke]).final, memory)


def _check_phrases(fixture: Fixture, reference: Reference, blank: ImageMemory, handed: Handed) -> None:
    interface = reference.model.interface
    words, padding = handed.owners[1].words(handed.sentences)
    whole = interface(blank, [generic.prompt()]).final
    for row in range(len(words)):
        prefix = f"call.{row + 2}"
        index = torch.zeros_like(padding[row : row + 1], dtype=torch.long)
        packed = pack(
            interface.project_text_tokens(words[row : row + 1], padding[row : row + 1], index), filler=PADDED_TEXT
        )
        fixture.check(f"{prefix}.extra.grounding_tokens", packed.values)
        fixture.same(f"{prefix}.extra.grounding_nonzero_mask", packed.padding)
        fixture.same(f"{prefix}.extra.grounding_token_indices", packed.index)
        fixture.same(f"{prefix}.extra.grounding_query_indices", torch.zeros(1, 1))
        semantic, pixel = (
            {group: x[row : row + 1] for group, x in space.items()}
            for space in (handed.phrases.semantic, handed.phrases.pixel)
        )
        own = Embeddings(semantic, pixel)
        check_outputs(fixture, f"{prefix}.out", own, blank)
        check_outputs(fixture, f"{prefix}.out", whole, blank)


def _with_dummies(tokens: Tokens, count: int, index: int) -> Tokens:
    """Masked tokens after the others, as the original has them for phrases; nobody reads their values."""
    values = tokens.values.new_zeros(1, count, tokens.values.shape[2])
    dummies = Tokens(values, torch.ones(1, count, dtype=torch.bool), torch.full((1, count), index))
    return Tokens.concatenate([tokens, dummies])
