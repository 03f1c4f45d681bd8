"""Interactive segmentation: a simulated user clicks on every segment until its mask is good."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Bool

from find.data.data_split import DataSplit
from find.data.strokes import StrokeKind, next_click, sample_stroke
from find.evaluation.clicks import VERY_GOOD
from find.evaluation.distributed import in_order
from find.evaluation.encoding import encode_once, some_of
from find.evaluation.held_out import HeldOut
from find.evaluation.metrics import Overlap, Overlaps, compare, overlap
from find.evaluation.protocol import EvaluationProtocol, Run
from find.evaluation.system import InteractiveSegmenter
from find.evaluation.task_results import ClickTrack, InteractiveResult, MissingAnnotations

MAX_CLICKS = 20
CLICKED_IMAGES = 50
STROKES = (StrokeKind.CIRCLE, StrokeKind.SCRIBBLE, StrokeKind.POLYGON, StrokeKind.BOX)
"""Kinds of strokes that replace the click: the columns of the published tables other than the point (first click)."""


def interactive(
    model: InteractiveSegmenter,
    folder: DataSplit,
    *,
    image_ids: Sequence[int] | None = None,
    clicked_images: int = CLICKED_IMAGES,
    max_clicks: int = MAX_CLICKS,
    strokes: Sequence[StrokeKind] = STROKES,
    seed: int = 0,
    batch_size: int = 32,
    progress: bool = False,
) -> InteractiveResult:
    """Segments every segment except crowd regions, from clicks and from a stroke of each kind.

    The first click is the innermost pixel of the segment, each further one the innermost pixel of the larger error,
    false negative or false positive (`find.data.strokes.next_click`). The model gets all clicks so far. NoC is the mean
    number of clicks to an IoU; a segment that does not reach it within `max_clicks` counts as `max_clicks`. Users stop
    at an IoU of 0.90, so the IoU after k clicks is that of the mask after click k, or of the final mask if it was
    reached earlier.

    This protocol has no prediction files, since each click depends on the previous answer.

    Args:
        image_ids: the images for the first click; all of the split if not given.
        clicked_images: number of images with segments, from the first on, that get further clicks and the other
            strokes. For models that encode an image once (`find.evaluation.encoding`) these are cheap; for others each
            click or stroke costs as much as the first.
        strokes: kinds of strokes, one stroke each.
        seed: seed of the strokes; a stroke depends only on it, the segment and the kind.

    Raises:
        MissingAnnotations: the images have no segments.
        FindError: a mask has another size than its image.
    """
    image_ids = folder.image_ids if image_ids is None else image_ids
    held_out = HeldOut.read(folder)

    def watched(chunk: Sequence[int]) -> list[_Watched]:
        sessions = [_Session.start(folder, image_id) for image_id in chunk]
        given = encode_once(model, [session.image for session in sessions])
        first = _click_on(model, given, sessions, held_out, max_clicks)
        tracks = [session.click_tracks() for session in sessions]
        drawn = [_draw(model, given, sessions, kind, seed, held_out) for kind in strokes]
        of_images = zip(*drawn, strict=True) if drawn else [()] * len(sessions)
        return [_Watched(*image) for image in zip(first, tracks, of_images, strict=True)]

    def clicked_once(chunk: Sequence[int]) -> list[list[Overlap]]:
        sessions = [_Session.start(folder, image_id) for image_id in chunk]
        return _click_on(model, [session.image for session in sessions], sessions, held_out, 1)

    common = {"batch_size": batch_size, "progress": progress}
    asked = [id for id in image_ids if _clickable(folder, id)]
    if not asked:
        raise MissingAnnotations(f"{folder.root}: the images of {folder.split} have no segments to click on")
    title = f"interactive, up to {max_clicks} clicks and {len(strokes)} strokes"
    many = in_order(asked[:clicked_images], watched, title=title, **common)
    once = in_order(asked[clicked_images:], clicked_once, title="interactive, one click", **common)
    first = (*(image.first_click for image in many), *once)
    return InteractiveResult(
        first_click=Overlaps(tuple(overlap for overlaps in first for overlap in overlaps)),
        strokes={
            kind: Overlaps(tuple(overlap for image in many for overlap in image.strokes[number]))
            for number, kind in enumerate(strokes)
        },
        tracks=tuple(track for image in many for track in image.tracks),
        max_clicks=max_clicks,
        images=len(image_ids),
    )


@dataclass(frozen=True)
class _Watched:
    """The results for one image: after the first click, after each click, and after a stroke of each kind."""

    first_click: list[Overlap]
    tracks: list[ClickTrack]
    strokes: tuple[list[Overlap], ...]


@dataclass
class _Session:
    """One image, its segments, and the clicks and masks so far. `open` lists the unfinished rows."""

    image_id: int
    image: np.ndarray
    segment_ids: list[int]
    targets: Bool[np.ndarray, "r h w"]
    positive: Bool[np.ndarray, "r h w"]
    negative: Bool[np.ndarray, "r h w"]
    masks: Bool[np.ndarray, "r h w"]
    open: list[int]
    tracks: list[list[float]]

    @classmethod
    def start(cls, folder: DataSplit, image_id: int) -> _Session:
        """A session before the first click, for an image with segments."""
        segment_ids = _clickable(folder, image_id)
        targets = folder.segment_map(image_id)[None] == np.array(segment_ids)[:, None, None]
        return cls.before(image_id, folder.image(image_id), segment_ids, targets)

    @classmethod
    def before(
        cls, image_id: int, image: np.ndarray, segment_ids: list[int], targets: Bool[np.ndarray, "r h w"]
    ) -> _Session:
        return cls(
            image_id=image_id,
            image=image,
            segment_ids=segment_ids,
            targets=targets,
            positive=np.zeros_like(targets),
            negative=np.zeros_like(targets),
            masks=np.zeros_like(targets),
            open=list(range(len(segment_ids))),
            tracks=[[] for _ in segment_ids],
        )

    def begun_anew(self) -> _Session:
        return self.before(self.image_id, self.image, self.segment_ids, self.targets)

    def click(self) -> None:
        """Adds a click to each open row; a row without errors is closed."""
        still_open = []
        for row in self.open:
            clicked = self.positive[row] | self.negative[row]
            click = next_click(self.masks[row], self.targets[row], clicked)
            if click is not None:
                (self.positive if click.is_positive else self.negative)[row] |= click.stroke
                still_open.append(row)
        self.open = still_open

    def see(self, masks: Sequence[np.ndarray]) -> None:
        """Records the model's masks for the open rows; a row that reaches the final IoU is closed."""
        for row, mask in zip(self.open, masks, strict=True):
            intersection, union = overlap(mask, self.targets[row], image_id=self.image_id)
            self.masks[row] = mask
            self.tracks[row].append(intersection / union)
        self.open = [row for row in self.open if self.tracks[row][-1] < VERY_GOOD]

    def draw(self, kind: StrokeKind, seed: int) -> None:
        """Sets one stroke instead of a click for every row."""
        for row, (segment_id, target) in enumerate(zip(self.segment_ids, self.targets, strict=True)):
            generator = np.random.default_rng([seed, abs(self.image_id), segment_id, list(StrokeKind).index(kind)])
            self.positive[row] = sample_stroke(target, kind, generator)

    def compared(self, held_out: HeldOut) -> list[Overlap]:
        return [
            compare(
                mask,
                target,
                image_id=self.image_id,
                item=segment_id,
                is_region=True,
                held_out=held_out.holds(self.image_id, [segment_id]),
            )
            for segment_id, mask, target in zip(self.segment_ids, self.masks, self.targets, strict=True)
        ]

    def click_tracks(self) -> list[ClickTrack]:
        pairs = zip(self.segment_ids, self.tracks, strict=True)
        return [ClickTrack(self.image_id, segment_id, tuple(track)) for segment_id, track in pairs]


def _clickable(folder: DataSplit, image_id: int) -> list[int]:
    """Ids of an image's segments except crowd regions."""
    return [segment.id for segment in folder.segments(image_id) if not segment.is_crowd]


def _click_on(
    model: InteractiveSegmenter, given: Any, sessions: Sequence[_Session], held_out: HeldOut, clicks: int
) -> list[list[Overlap]]:
    """Runs up to `count` rounds, each a click on every open row of every session and a call of the model; returns the
    results after the first. `given` are the sessions' images, or their encoded form."""
    first: list[list[Overlap]] = []
    working = sessions
    for _ in range(clicks):
        for session in working:
            session.click()
        open_ones = [number for number, session in enumerate(working) if session.open]
        given, working = some_of(given, open_ones), [working[number] for number in open_ones]
        if working:
            _answer(model, given, working)
        first = first or [session.compared(held_out) for session in sessions]
    return first


def _draw(
    model: InteractiveSegmenter,
    given: Any,
    sessions: Sequence[_Session],
    kind: StrokeKind,
    seed: int,
    held_out: HeldOut,
) -> list[list[Overlap]]:
    """Restarts the sessions with one stroke for every segment, and returns the results."""
    anew = [session.begun_anew() for session in sessions]
    for session in anew:
        session.draw(kind, seed)
    _answer(model, given, anew)
    return [session.compared(held_out) for session in anew]


def _answer(model: InteractiveSegmenter, given: Any, sessions: Sequence[_Session]) -> None:
    answers = model.interact(
        given,
        [session.positive[session.open] for session in sessions],
        [session.negative[session.open] for session in sessions],
    )
    for session, masks in zip(sessions, answers, strict=True):
        session.see([answer.mask for answer in masks])


@dataclass(frozen=True)
class Interactive(EvaluationProtocol):
    """Interactive segmentation (`interactive`)."""

    clicked_images: int = CLICKED_IMAGES
    name: ClassVar[str] = "interactive"

    def run(self, system: InteractiveSegmenter, data: DataSplit, run: Run) -> InteractiveResult:
        return interactive(system, data, image_ids=run.image_ids, clicked_images=self.clicked_images, **run.options)
