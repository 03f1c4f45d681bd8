"""Replay of the recorded training step: inputs, targets, every loss, every match, every gradient."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from find.integrations.official.key_map import Part, destination
from find.interface import (
    Embeddings,
    Group,
    GroupName,
    ImageMemory,
    Interface,
    Prompt,
    Prototype,
    Slots,
    Tokens,
)
from find.model.model import FIND
from find.tasks import generic, grounding, interactive, interleaved, retrieval
from find.tasks.regions import own_rows
from published_reference.losses import TASKS, LayerLosses, MaskTargets, OfficialCriterion, Result, Targets
from published_reference.parity.fixture import Comparison, Fixture, Reference
from published_reference.parity.layout import NO_ENTITY, PADDED_TEXT, PADDED_WORD, check_outputs, pack
from published_reference.parity.pictures import canvases
from published_reference.recipes import entity_index, unpadded

LOSS_TOLERANCE, GRADIENT_TOLERANCE = 1e-4, 1e-3
"""Relative, of losses and of gradients' norms."""
PADDED_QUERY = {"grounding": -3, "spatial": -3, "interleave": -6}
MATCH_ORDER = ("mask", "spatial", "grounding", "interleave")
FREE_TEXT_IMAGES = (True, False)
"""Whose grounding texts are phrases; the other's are class names. The fixtures do not record it: of the four ways only
this one gives the recorded losses."""
MATCH_NAMES = {"mask": "default"}


class SavedPlaces:
    """The fixtures' list of points, for matching and for losses alike."""

    def __init__(self, xy: Tensor) -> None:
        self.xy = xy

    def matching(self, batch: int, device: torch.device) -> Tensor:
        return self.xy.expand(batch, -1, -1)

    def losses(self, logits: Tensor) -> Tensor:
        return self.xy.expand(len(logits), -1, -1)


@dataclass(frozen=True)
class Words:
    """Texts of a batch through LLaMA: hidden states and padding, one row each."""

    hidden: Tensor
    padding: Tensor

    @classmethod
    def read(cls, fixture: Fixture, model: FIND, kind: str, batch: int) -> list[Words]:
        rows = []
        for b in range(batch):
            ids = fixture.given(f"batch.{b}.{kind}_tokens.input_ids")
            padding = fixture.given(f"batch.{b}.{kind}_tokens.attention_mask") == 0
            rows.append(cls(model.language.hidden(ids, padding), padding))
        return rows


class Step:
    """One recorded step: built in the order in which the original builds it."""

    def __init__(self, reference: Reference, fixture: Fixture, *, swapped: bool) -> None:
        self.reference, self.fixture, self.swapped = reference, fixture, swapped
        self.model = copy.deepcopy(reference.model)
        for module in (self.model.vision.net, self.model.interface):
            module.requires_grad_(True)
        self.interface: Interface = self.model.interface
        fixture.notes.append(
            f"{fixture.name}: which images' grounding texts are phrases, which class names (factors 2 and 0.5), is not "
            f"recorded; {FREE_TEXT_IMAGES} was chosen because it gives the recorded losses "
            "(all free text misses them by half)."
        )
        self.batch = len([name for name in fixture.names("batch.") if name.endswith(".image")])

    def run(self) -> None:
        fixture, interface = self.fixture, self.interface
        images = [fixture.given(f"batch.{b}.image") for b in range(self.batch)]
        memory = interface.encode_image(self.model.vision.net(self.model.vision.normalise(canvases(images))))
        prompts = [generic.prompt(), self._texts(), self._strokes(memory), self._sentences(memory), self._captions()]
        classes = Prompt(retrieval.PROTOTYPE, tokens={Group.CAPTION_TOKENS: self._classes()})
        layers = interface(memory, prompts, deep=True).layers
        class_layers = [x.semantic[Group.CAPTION][:, 0] for x in interface(None, [classes], deep=True).layers]
        criterion = OfficialCriterion(
            places=SavedPlaces(fixture.given("points")),
            interactive=self.model.interactive_task,
            words=self.model.phrase_task,
            regions=self.model.region_task,
        )
        targets = self._targets(prompts)
        bank = fixture.given("class_bank_before")
        result = criterion(interface, layers, class_layers, memory.mask_features, bank, targets)
        fixture.check("class_bank_after", result.bank)
        self._check_layers(layers, class_layers, memory, bank, targets)
        self._check_matches(result, targets)
        self._check_losses(result)
        result.total.backward()
        self._check_gradients()

    # --- prompts --------------------------------------------------------------------------------------------------

    def _texts(self) -> Prompt:
        """Equal texts give their tokens once; each has a query of its own, with the number of the first."""
        read = Words.read(self.fixture, self.model, "grounding", self.batch)
        rows, numbers = [], []
        for b, words in enumerate(read):
            hashes = self.fixture.given(f"batch.{b}.grounding_hash").tolist()
            first = [hashes.index(h) for h in hashes]
            distinct = sorted(set(first))
            numbers.append(torch.tensor([distinct.index(k) for k in first]))
            rows.append([(words.hidden[k], words.padding[k], number) for number, k in enumerate(distinct)])
        tokens = self._project(rows)
        self._check_tokens("grounding", tokens, PADDED_TEXT, indices="grounding_token_indices")
        slots = _slots(numbers)
        self._check_slots("grounding", slots)
        slots = {Group.DESCRIPTION: unpadded(slots)}
        return Prompt(grounding.PROTOTYPE, tokens={Group.DESCRIPTION_TOKENS: tokens}, slots=slots)

    def _strokes(self, memory: ImageMemory) -> Prompt:
        strokes = [self.fixture.given(f"batch.{b}.spatial_rand_shape") for b in range(self.batch)]
        for b, stroke in enumerate(strokes):
            self.fixture.same(f"extra.spatial_query_pos_mask.{b}", stroke)
            self.fixture.same(f"extra.spatial_query_neg_mask.{b}", torch.zeros_like(stroke))
        stacked = MaskTargets.stack(strokes)
        self.fixture.same("extra.false_positive_mask", torch.zeros_like(stacked.masks))
        prompt = interactive.prompt(self.interface, memory, stacked.masks, ~stacked.valid)
        self._check_slots("spatial", _slots([torch.arange(len(stroke)) for stroke in strokes]))
        prototype = see_queries(prompt.prototype) if self.swapped else prompt.prototype
        slots = {Group.SPATIAL: unpadded(prompt.slots[Group.SPATIAL])}
        return replace(prompt, prototype=prototype, slots=slots)

    def _sentences(self, memory: ImageMemory) -> Prompt:
        fixture = self.fixture
        read = Words.read(fixture, self.model, "interleave", self.batch)
        tables = [fixture.given(f"batch.{b}.entity_to_tokens") for b in range(self.batch)]
        marks = [fixture.given(f"batch.{b}.entity_interactive") for b in range(self.batch)]
        visual = [fixture.given(f"batch.{b}.entity_isvisual") for b in range(self.batch)]
        for b, mark in enumerate(marks):
            shown = mark & visual[b][:, None, None]
            fixture.same(f"extra.interleave_query_pos_mask.{b}", shown)
            fixture.same(f"extra.interleave_query_neg_mask.{b}", torch.zeros_like(mark))
        stacked = MaskTargets.stack([mark & v[:, None, None] for mark, v in zip(marks, visual, strict=True)])
        self.is_region = _stack(visual, False)
        hidden, padding = torch.cat([w.hidden for w in read]), torch.cat([w.padding for w in read])
        entity = torch.cat([entity_index(table[None]) for table in tables]).masked_fill(padding, -1)
        regions = self.interface.sampler(memory, stacked.masks, own_rows(~self.is_region))
        prompt = interleaved.prompt(
            self.interface,
            interleaved.SEGMENTATION + interleaved.RETRIEVAL,
            hidden,
            padding,
            entity,
            self.is_region,
            ~stacked.valid,
            regions,
        )
        words = self.interface.project_text_tokens(hidden, padding, entity)
        self._check_tokens("interleave", words, PADDED_WORD, indices="interleave_entity_indices", none=NO_ENTITY)
        packed = pack(words, filler=PADDED_WORD, none=NO_ENTITY)
        number = torch.arange(stacked.valid.shape[1])[:, None, None]
        fixture.same("extra.interleave_entity_mask", number == packed.index.T)
        fixture.same("extra.interleave_isvisual", self.is_region.T)
        self._check_slots("interleave", _slots([torch.arange(len(v)) for v in visual]))
        return replace(prompt, slots={Group.INTERLEAVED_ENTITY: unpadded(prompt.slots[Group.INTERLEAVED_ENTITY])})

    def _captions(self) -> Prompt:
        read = Words.read(self.fixture, self.model, "caption", self.batch)
        self.caption_words = self._project([[(words.hidden[0], words.padding[0], -1)] for words in read])
        self._check_tokens("retrieval", self.caption_words, PADDED_TEXT)
        return Prompt(retrieval.PROTOTYPE, tokens={Group.CAPTION_TOKENS: self.caption_words})

    def _classes(self) -> Tokens:
        read = Words.read(self.fixture, self.model, "class", self.batch)
        tokens = self._project([[(words.hidden[0], words.padding[0], -1)] for words in read])
        packed = pack(tokens, filler=PADDED_TEXT)
        self.fixture.check("extra.class_tokens_emb", packed.values)
        self.fixture.same("extra.class_tokens_mask", packed.padding)
        for b in range(self.batch):
            self.fixture.check(f"target.{b}.class_tokens_embs", _real(tokens, b))
        return tokens

    def _project(self, rows: list[list[tuple[Tensor, Tensor, int]]]) -> Tokens:
        """Texts of each image side by side, padded to the longest image."""
        hidden = [torch.cat([h for h, _, _ in row]) for row in rows]
        padding = [torch.cat([p for _, p, _ in row]) for row in rows]
        index = [torch.cat([torch.full_like(p, number, dtype=torch.long) for _, p, number in row]) for row in rows]
        return self.interface.project_text_tokens(_stack(hidden, 0.0), _stack(padding, True), _stack(index, -1))

    # --- comparisons ----------------------------------------------------------------------------------------------

    def _check_tokens(
        self, kind: str, tokens: Tokens, filler: int, *, indices: str | None = None, none: int = -1
    ) -> None:
        packed = pack(tokens, filler=filler, none=none)
        self.fixture.check(f"extra.{kind}_tokens", packed.values)
        self.fixture.same(f"extra.{kind}_nonzero_mask", packed.padding)
        if indices:
            self.fixture.same(f"extra.{indices}", packed.index)
        name = {"grounding": "grounding_token_embs", "interleave": "interleave_query_embs"}
        for b in range(self.batch):
            self.fixture.check(f"target.{b}.{name.get(kind, 'retrieval_query_embs')}", _real(tokens, b))

    def _check_slots(self, kind: str, slots: Slots) -> None:
        numbers = slots.index.masked_fill(slots.padding, PADDED_QUERY[kind])
        self.fixture.same(f"extra.{kind}_query_indices", numbers.T)
        for b in range(self.batch):
            self.fixture.same(f"target.{b}.{kind}_query_indices", slots.index[b][~slots.padding[b]])

    def _targets(self, prompts: list[Prompt]) -> Targets:
        fixture = self.fixture
        masks: dict[str, list[Tensor]] = {}
        same = {"gt_spatial_masks": "spatial_gt_masks", "interleave_masks": "entity_masks"}
        same |= {name: name for name in ("masks", "grounding_masks", "labels")}
        for name, source in same.items():
            masks[name] = [fixture.given(f"batch.{b}.{source}") for b in range(self.batch)]
            for b, mask in enumerate(masks[name]):
                fixture.same(f"target.{b}.{name}", mask)
        things = torch.tensor(self.reference.meta["evaluate"]["things"])
        for b in range(self.batch):
            fixture.same(f"target.{b}.is_things", torch.isin(masks["labels"][b], things))
            fixture.same(f"target.{b}.interleave_spatial", fixture.given(f"batch.{b}.entity_interactive"))
            fixture.same(f"target.{b}.interleave_isvisual", fixture.given(f"batch.{b}.entity_isvisual"))
            self._check_texts_of_targets(b)
        numbers = [fixture.given(f"batch.{b}.class_id") for b in range(self.batch)]
        class_number = torch.cat(numbers)
        fixture.same("extra.class_indexes", class_number)
        slots = prompts[1].slots[Group.DESCRIPTION]
        return Targets(
            segments=MaskTargets.stack(masks["masks"]),
            labels=_stack(masks["labels"], -1),
            strokes=MaskTargets.stack(masks["gt_spatial_masks"]),
            phrases=MaskTargets.stack(masks["grounding_masks"]),
            text_number=slots.index,
            is_free_text=torch.tensor(FREE_TEXT_IMAGES),
            entities=MaskTargets.stack(masks["interleave_masks"]),
            is_region=self.is_region,
            class_number=class_number,
            caption_words=self.caption_words,
        )

    def _check_texts_of_targets(self, b: int) -> None:
        """What the original hands to its criterion a second time."""
        fixture = self.fixture
        fixture.given(f"target.{b}.boxes")  # of the masks; no loss reads them
        ids, mask = (fixture.given(f"batch.{b}.caption_tokens.{n}") for n in ("input_ids", "attention_mask"))
        fixture.same(f"target.{b}.caption_tokenids", ids)
        fixture.same(f"target.{b}.caption_mask", mask)
        hidden = self.model.language.hidden(ids, mask == 0)
        fixture.check(f"target.{b}.caption_tokens", self.interface.text_projection(hidden))
        hashes = fixture.given(f"batch.{b}.grounding_hash").tolist()
        words = fixture.given(f"batch.{b}.grounding_tokens.attention_mask")
        first = sorted({hashes.index(h) for h in hashes})
        numbers = torch.cat([torch.full((int(words[k].sum()),), n) for n, k in enumerate(first)])
        fixture.same(f"target.{b}.grounding_token_indices", numbers)
        table = fixture.given(f"batch.{b}.entity_to_tokens")
        real = fixture.given(f"batch.{b}.interleave_tokens.attention_mask")[0].bool()
        index = entity_index(table[None])[0, real]
        fixture.same(f"target.{b}.interleave_entity_mask", table[:, real])
        fixture.same(f"target.{b}.interleave_entity_indices", torch.where(index < 0, NO_ENTITY, index))

    def _check_layers(
        self, layers: tuple[Embeddings, ...], class_layers: list[Tensor], memory: ImageMemory, bank: Tensor, t: Targets
    ) -> None:
        for number, (layer, classes) in enumerate(zip(layers, class_layers, strict=True)):
            prefix = "out" if number == len(layers) - 1 else f"aux.{number}"
            rows = bank.index_put((t.class_number,), classes)
            objects = layer.semantic[Group.OBJECT]
            logits = self.interface.similarity(objects, rows.expand(len(objects), -1, -1), limit=None)
            check_outputs(self.fixture, prefix, layer, memory, logits)
            if f"{prefix}.pred_retrievals_class" in self.fixture:
                self.fixture.check(f"{prefix}.pred_retrievals_class", classes[:, None])

    def _check_matches(self, result: Result, targets: Targets) -> None:
        valid = {
            "mask": targets.segments.valid,
            "spatial": targets.strokes.valid,
            "grounding": targets.phrases.valid,
            "interleave": targets.entities.valid,
        }
        for step, assigned in enumerate(reversed(result.assigned)):
            for place, task in enumerate(MATCH_ORDER):
                for b in range(self.batch):
                    number = len(MATCH_ORDER) * step + place
                    name = f"match.{number:02d}.{MATCH_NAMES.get(task, task)}.{b}"
                    source, target = assigned[task][b][valid[task][b]].sort()
                    self.fixture.same(f"{name}.src", source)
                    self.fixture.same(f"{name}.tgt", target)

    def _check_losses(self, result: Result) -> None:
        recorded = self.recorded
        for step, layer in enumerate(reversed(result.layers)):
            for name, value in _named(layer):
                self._relative(f"{name}_{step}", value, recorded["losses_unweighted"], LOSS_TOLERANCE)
        total = float(result.total.detach())
        self._relative("total_weighted", result.total, recorded, LOSS_TOLERANCE)
        self.fixture.check("weighted_total", torch.tensor(total, dtype=torch.float64))
        ours = {f"{name}_{step}" for step, layer in enumerate(result.layers) for name, _ in _named(layer)}
        if missing := recorded["losses_unweighted"].keys() - ours:
            raise AssertionError(f"losses that we do not compute: {sorted(missing)}")

    def _check_gradients(self) -> None:
        parts = {Part.BACKBONE: dict(self.model.vision.net.named_parameters())}
        parts[Part.INTERFACE] = dict(self.interface.named_parameters())
        for name, norm in self.recorded["grad_norm"].items():
            place = destination(name)
            gradient = parts[place.part][place.name].grad
            if norm is None:
                size = 0.0 if gradient is None else float(gradient.norm())
                self._keep(f"grad_norm.{name}", size, 0.0, "gradient norm")
                continue
            self._relative(f"grad_norm.{name}", gradient.norm(), {f"grad_norm.{name}": norm}, GRADIENT_TOLERANCE)
            if f"grad.{name}" in self.fixture:
                self.fixture.check(f"grad.{name}", place.change(gradient))

    @property
    def recorded(self) -> dict[str, Any]:
        return json.loads((self.reference.tiny / f"{self.fixture.name}.json").read_text())

    def _relative(self, name: str, ours: Tensor, recorded: dict[str, Any], tolerance: float) -> None:
        wanted = recorded[name]
        kind = "loss" if tolerance == LOSS_TOLERANCE else "gradient norm"
        self._keep(name, abs(float(ours.detach()) - wanted) / max(abs(wanted), 1e-12), tolerance, kind)

    def _keep(self, name: str, error: float, allowed: float, kind: str) -> None:
        self.fixture.comparisons[name] = Comparison(self.fixture.name, name, error, allowed, kind)


def train_losses(reference: Reference, fixture: Fixture) -> None:
    with torch.enable_grad():
        Step(reference, fixture, swapped=False).run()


def train_losses_swap(reference: Reference, fixture: Fixture) -> None:
    with torch.enable_grad():
        Step(reference, fixture, swapped=True).run()


def _named(layer: LayerLosses) -> Iterator[tuple[str, Tensor]]:
    for task in TASKS:
        losses = getattr(layer, task)
        yield f"loss_{task}_ce", losses.ce
        yield f"loss_{task}_bce", losses.bce
        yield f"loss_{task}_dice", losses.dice
    yield "loss_interleave_itc", layer.sentences
    yield "loss_retrieval_decoder", layer.captions


def _slots(numbers: list[Tensor]) -> Slots:
    index = _stack(numbers, -1)
    return Slots(index, index < 0)


def _stack(rows: list[Tensor], filler: float) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=filler)


def _real(tokens: Tokens, row: int) -> Tensor:
    return tokens.values[row][~tokens.padding[row]]


def see_queries(prototype: Prototype) -> Prototype:
    """The variant in which segment proposals see the spatial queries instead of the sampled points.

    The published FIND trains 30 % of its steps with it.
    """
    swap: dict[GroupName, GroupName] = {Group.SPATIAL_TOKENS: Group.SPATIAL}
    return Prototype(
        tuple(
            replace(member, condition=tuple(swap.get(group, group) for group in member.condition))
            if member.group is Group.SEGMENT
            else member
            for member in prototype.members
        )
    )
