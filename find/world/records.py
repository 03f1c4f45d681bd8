"""Puts scenes into the records of COCO panoptic, instances, captions and FIND-Bench, with references between images."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pycocotools import mask as rle

from find.world.composition import Segment
from find.world.drawing import Look
from find.world.grammar import Description
from find.world.kinds import STUFF, THINGS, Stuff, Thing
from find.world.language import Negative, Sentence
from find.world.scene import Scene

Json = dict[str, Any]

_GOLDEN = 0.618033988749895


def categories() -> list[Json]:
    """The panoptic category list, in the order of COCO's ids; colours are spread evenly over the hues."""
    found = []
    for k, kind in enumerate(sorted((*THINGS, *STUFF), key=lambda kind: kind.id)):
        hue = (k * _GOLDEN) % 1.0 * 6
        ramp = [min(1.0, max(0.0, abs((hue + shift) % 6 - 3) - 1)) for shift in (0, 4, 2)]
        found.append(
            {
                "supercategory": kind.supercategory,
                "color": [round(60 + 180 * c) for c in ramp],
                "isthing": int(isinstance(kind, Thing)),
                "id": kind.id,
                "name": kind.name,
            }
        )
    return found


@dataclass(frozen=True)
class PhraseRecord:
    """A phrase before its reference is known; `look` is the thing that a reference must resemble (None: stuff)."""

    text: str
    start: int
    end: int
    segment: int
    kind: Thing | Stuff
    look: Look | None
    needs_context: bool


@dataclass(frozen=True)
class SentenceRecord:
    """A sentence before its number and references are known."""

    image_id: int
    text: str
    phrases: tuple[PhraseRecord, ...]
    held_out: bool
    changed: Json | None = None


@dataclass(frozen=True)
class SceneRecord:
    """All that the JSON files say of one scene."""

    image: Json
    panoptic: Json
    instances: list[Json]
    captions: tuple[str, ...]
    sentences: tuple[SentenceRecord, ...]
    paragraph: SentenceRecord
    expressions: tuple[tuple[str, int, bool], ...]
    negatives: tuple[SentenceRecord, ...]
    probes: tuple[SentenceRecord, ...]
    forms: tuple[tuple[SentenceRecord, tuple[SentenceRecord, ...]], ...]
    segments: tuple[Segment, ...]


def _sentence(
    said: Sentence,
    scene: Scene,
    *,
    clear: Sequence[bool] = (),
    true: Sentence | None = None,
    changed: Json | None = None,
) -> SentenceRecord:
    phrases = []
    for phrase in said.text.phrases:
        segment = scene.segments[said.segments[phrase.entity]]
        description = said.statement.entities[phrase.entity]
        look = segment.look
        if true is not None and description != true.statement.entities[phrase.entity]:
            look = _as_described(description, look)
        phrases.append(
            PhraseRecord(
                text=said.text.text[phrase.start : phrase.end],
                start=phrase.start,
                end=phrase.end,
                segment=segment.id,
                kind=description.kind,
                look=look,
                needs_context=bool(clear) and not clear[phrase.entity],
            )
        )
    held_out = any(scene.segments[k].is_held_out for k in said.segments)
    return SentenceRecord(scene.image_id, said.text.text, tuple(phrases), held_out, changed)


def _negatives(scene: Scene, true: Sentence, negatives: Sequence[Negative], **about: str) -> tuple[SentenceRecord, ...]:
    return tuple(
        _sentence(
            negative.sentence,
            scene,
            true=true,
            changed={
                "what": negative.change.what,
                "index": negative.change.index,
                "from": negative.change.before,
                "to": negative.change.after,
                **about,
            },
        )
        for negative in negatives
    )


def _as_described(description: Description, look: Look | None) -> Look | None:
    """The look that a changed phrase calls for; what it leaves open stays as it was."""
    if look is None or isinstance(description.kind, Stuff):
        return None
    look = replace(look, thing=description.kind)
    if description.colour:
        look = replace(look, colour=description.colour)
    if description.size:
        look = replace(look, size=description.size)
    if description.pattern:
        look = replace(look, pattern=description.pattern)
    return look


def record(scene: Scene) -> SceneRecord:
    """A scene's records for the files, without ids that depend on the full split."""
    height, width = scene.segment_map.shape
    infos, instances = [], []
    for segment in scene.segments:
        x0, y0, x1, y1 = segment.box
        box = [x0, y0, x1 - x0, y1 - y0]
        info = {"id": segment.id, "category_id": segment.kind.id, "area": segment.area, "bbox": box, "iscrowd": 0}
        infos.append(info)
        if segment.look is not None:
            coded = rle.encode(np.asfortranarray(scene.segment_map == segment.id, dtype=np.uint8))
            shape = {"size": [height, width], "counts": coded["counts"].decode("ascii")}
            instances.append({"segmentation": shape, "image_id": scene.image_id, **info})
    clear = scene.clear_alone
    return SceneRecord(
        image={"id": scene.image_id, "file_name": scene.file_name, "height": height, "width": width},
        panoptic={
            "image_id": scene.image_id,
            "file_name": scene.file_name.replace(".jpg", ".png"),
            "segments_info": infos,
        },
        instances=instances,
        captions=scene.captions,
        sentences=tuple(_sentence(s, scene, clear=clear[k]) for k, s in enumerate(scene.sentences)),
        paragraph=_sentence(scene.paragraph, scene, clear=clear[-1]),
        expressions=tuple(
            (
                e.sentence.text.text,
                scene.segments[e.segment].id,
                any(scene.segments[k].is_held_out for k in e.sentence.segments),
            )
            for e in scene.expressions
        ),
        negatives=_negatives(scene, scene.sentences[0], scene.negatives),
        probes=_negatives(scene, scene.sentences[0], scene.probes),
        forms=tuple(
            (_sentence(one.sentence, scene), _negatives(scene, one.sentence, one.false, form=one.form.value))
            for one in scene.forms
        ),
        segments=scene.segments,
    )


class ReferenceIndex:
    """Finds, for a thing, one that looks alike in another image of the split."""

    def __init__(self, scenes: Sequence[SceneRecord]) -> None:
        self._found: dict[tuple[object, ...], list[tuple[int, int]]] = defaultdict(list)
        for scene in scenes:
            image_id = scene.image["id"]
            for segment in scene.segments:
                for key in self._keys(segment.kind, segment.look):
                    self._found[key].append((image_id, segment.id))

    @staticmethod
    def _keys(kind: Thing | Stuff, look: Look | None) -> list[tuple[object, ...]]:
        """Keys from the strictest likeness to the loosest: category and colour always agree."""
        if look is None:
            return [(kind.id,)]
        loosest = (kind.id, look.colour.name)
        return [
            (*loosest, look.pattern.value, look.size.value),
            (*loosest, look.pattern.value),
            (*loosest, "", look.size.value),
            loosest,
        ]

    def find(self, phrase: PhraseRecord, image_id: int) -> Json | None:
        """Reference of a phrase of an image; None where no other image shows such a thing."""
        for key in self._keys(phrase.kind, phrase.look):
            found = self._found.get(key, ())
            start = phrase.segment * 2654435761 + phrase.start * 40503
            for step in range(min(len(found), 24)):
                image, segment = found[(start + step) % len(found)]
                if image != image_id:
                    return {"image_id": image, "annotation_id": segment}
        return None


def sentence_json(
    said: SentenceRecord,
    number: int,
    references: ReferenceIndex,
    *,
    numbers_as_text: bool,
    stuff_references: bool = False,
) -> Json:
    """One FIND-Bench annotation.

    Args:
        number: its id.
        numbers_as_text: whether `annotation_id` is written as a string (FIND-Bench has both forms).
        stuff_references: whether phrases of stuff get references too.
    """
    raw, at, phrases = "", 0, []
    for p in said.phrases:
        mark = f"[{p.segment}]<{p.text}>"
        raw += said.text[at : p.start] + mark
        at = p.end
        entry: Json = {
            "phrase": p.text,
            "phrase_raw": mark,
            "annotation_id": str(p.segment) if numbers_as_text else p.segment,
            "start_idx": p.start,
            "_start_idx": p.start,
            "end_idx": p.end,
        }
        if p.needs_context:
            entry["needs_context"] = True
        reference = references.find(p, said.image_id) if p.look is not None or stuff_references else None
        if reference is not None:
            entry["reference"] = reference
        phrases.append(entry)
    found: Json = {
        "id": number,
        "image_id": said.image_id,
        "sentence": said.text,
        "sentence_raw": raw + said.text[at:],
        "phrase": phrases,
    }
    if said.changed is not None:
        found["changed"] = said.changed
    return found
