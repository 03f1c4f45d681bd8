"""The best and worst predictions of a run, drawn beside the ground truth, one picture each, with the query."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool
from PIL import Image

from find.data.data_split import DataSplit
from find.evaluation.interleaved_results import InterleavedSegmentationResult
from find.evaluation.metrics import Overlap
from find.evaluation.protocols.grounding import TextSource, questions_of
from find.evaluation.results import Evaluation
from find.evaluation.system import GenericSegmenter, Grounder, QuerySegmenter
from find.evaluation.task_results import GroundingResult, PanopticResult
from find.visualization.drawing import Overlay, draw_overlays, entity_color

EXAMPLES = "examples"
COUNT = 4
"""Number of best and of worst examples of each task."""
SIDE = 360
GAP = 6


@dataclass(frozen=True)
class Example:
    """A picture of a prediction (left) beside the ground truth (right)."""

    task: str
    kind: str  # "best" or "worst"
    image_id: int
    score: float  # percent: mean IoU of the image's segments, or of the query's entities
    asked: str
    categories: tuple[str, ...]  # classes of the true segments
    file: str = ""


def write_examples(found: Evaluation, system: Any, folder: DataSplit, out: Path) -> list[Example]:
    """Runs the system again on its best and worst images of each task with masks, and draws the predictions.

    Writes out/examples/*.webp and out/examples/examples.json.
    """
    folder_out = out / EXAMPLES
    written = []
    for number, (example, picture) in enumerate(_all(found, system, folder)):
        folder_out.mkdir(parents=True, exist_ok=True)
        name = f"{number:03d}-{example.task}-{example.kind}-{example.image_id}.webp"
        picture.save(folder_out / name, quality=80, method=4)
        written.append(replace(example, file=name))
    if written:
        records = [asdict(example) for example in written]
        (folder_out / "examples.json").write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
    return written


def read_examples(run: Path) -> list[tuple[Example, bytes]]:
    """Reads what `write_examples` wrote into a run's folder, with the pictures' bytes; empty if there is nothing."""
    path = run / EXAMPLES / "examples.json"
    if not path.exists():
        return []
    records = [
        Example(**{**record, "categories": tuple(record["categories"])}) for record in json.loads(path.read_text())
    ]
    return [(example, (run / EXAMPLES / Path(example.file).name).read_bytes()) for example in records]


def _all(found: Evaluation, system: Any, folder: DataSplit) -> Iterator[tuple[Example, Image.Image]]:
    if "panoptic" in found.results:
        yield from _panoptic(found.results["panoptic"], system, folder)
    if "grounding" in found.results:
        yield from _grounding(found.results["grounding"], system, folder)
    if "interleaved_segmentation" in found.results:
        yield from _interleaved(found.results["interleaved_segmentation"], system, folder)


def _panoptic(
    result: PanopticResult, system: GenericSegmenter, folder: DataSplit
) -> Iterator[tuple[Example, Image.Image]]:
    scores = {
        image.image_id: float(np.mean(list(image.matches.ious.values())))
        for image in result.per_image
        if image.matches is not None and image.matches.ious
    }
    names = [category.words for category in folder.categories]
    things = [category.is_thing for category in folder.categories]
    index_of = {category.id: category.index for category in folder.categories}
    for kind, image_id, score in _ends(scores):
        image, segment_map = folder.image(image_id), folder.segment_map(image_id)
        answer = system.panoptic([image], names, things)[0]
        predicted = [(answer.segment_map == segment.id, segment.label) for segment in answer.segments]
        true = [(segment_map == s.id, index_of[s.category_id]) for s in folder.segments(image_id)]
        sides = ([Overlay(mask, names[k], color=entity_color(k)) for mask, k in side] for side in (predicted, true))
        yield _example(folder, "panoptic", kind, image_id, score, "all classes"), _pair(image, *sides)


def _grounding(result: GroundingResult, system: Grounder, folder: DataSplit) -> Iterator[tuple[Example, Image.Image]]:
    source = TextSource(result.source)
    for kind, image_id, score in _ends(_means(result.overlaps.records, lambda record: record.image_id)):
        questions = questions_of(folder, image_id, source)
        texts = [question.text for question in questions]
        image, segment_map = folder.image(image_id), folder.segment_map(image_id)
        masks = [answer.mask for answer in system.ground([image], [texts])[0]]
        targets = [np.isin(segment_map, question.segment_ids) for question in questions]
        yield (
            _example(folder, "grounding", kind, image_id, score, numbered(texts)),
            _pair(image, *_sides(masks, targets)),
        )


def _interleaved(
    result: InterleavedSegmentationResult, system: QuerySegmenter, folder: DataSplit
) -> Iterator[tuple[Example, Image.Image]]:
    sentences = {sentence.id: sentence for sentence in folder.sentences}
    for kind, item, score in _ends(_means(result.overlaps.records, lambda record: record.item)):
        sentence = sentences[item]
        asked = result.interleaving.query(sentence, folder)
        image, segment_map = folder.image(sentence.image_id), folder.segment_map(sentence.image_id)
        masks = [answer.mask for answer in system.segment([image], [asked.query])[0]]
        targets = [np.isin(segment_map, phrase.segment_ids) for phrase in sentence.phrases]
        shown = [str(number) for number, is_region in enumerate(asked.is_region, start=1) if is_region]
        text = numbered([phrase.text for phrase in sentence.phrases])
        text += f" (regions of another picture: {', '.join(shown)})" if shown else ""
        example = _example(folder, "interleaved_segmentation", kind, sentence.image_id, score, text)
        yield example, _pair(image, *_sides(masks, targets))


def _ends(scores: dict[int, float]) -> list[tuple[str, int, float]]:
    """The best and the worst, without overlap."""
    order = sorted(scores, key=lambda key: (-scores[key], key))
    count = min(COUNT, len(order) // 2)
    best, worst = order[:count], order[len(order) - count :][::-1]
    return [("best", key, scores[key]) for key in best] + [("worst", key, scores[key]) for key in worst]


def _means(records: Sequence[Overlap], key: Callable[[Overlap], int]) -> dict[int, float]:
    ious = defaultdict(list)
    for record in records:
        ious[key(record)].append(record.iou)
    return {name: float(np.mean(values)) for name, values in ious.items()}


def _example(folder: DataSplit, task: str, kind: str, image_id: int, score: float, asked: str) -> Example:
    words = {category.id: category.words for category in folder.categories}
    categories = tuple(sorted({words[segment.category_id] for segment in folder.segments(image_id)}))
    return Example(task, kind, image_id, 100 * score, asked, categories)


def numbered(texts: Sequence[str]) -> str:
    """The texts with their numbers in the pictures."""
    return "; ".join(f"{number} {text}" for number, text in enumerate(texts, start=1))


def _sides(
    answers: Sequence[Bool[np.ndarray, "h w"]], targets: Sequence[Bool[np.ndarray, "h w"]]
) -> list[list[Overlay]]:
    """The masks of one side, labelled with numbers because words would hide them."""
    return [
        [Overlay(mask, str(number), color=entity_color(number - 1)) for number, mask in enumerate(masks, start=1)]
        for masks in (answers, targets)
    ]


def _pair(image: np.ndarray, answer: Sequence[Overlay], truth: Sequence[Overlay]) -> Image.Image:
    drawn = [draw_overlays(np.asarray(image), side, min_side=SIDE, font_size=12) for side in (answer, truth)]
    for picture in drawn:
        picture.thumbnail((SIDE, SIDE))
    pair = Image.new("RGB", (drawn[0].width * 2 + GAP, drawn[0].height), "white")
    pair.paste(drawn[0], (0, 0))
    pair.paste(drawn[1], (drawn[0].width + GAP, 0))
    return pair
