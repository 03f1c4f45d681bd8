"""Interactive segmentation: a simulated user clicks on every segment until its mask is good."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool

from find.data.coco import CocoFolder
from find.data.strokes import next_click
from find.evaluation.gallery import batches
from find.evaluation.held_out import HeldOut
from find.evaluation.metrics import Overlaps, clicks_needed, overlap
from find.evaluation.results import InteractiveResult, MissingAnnotations, divide
from find.evaluation.systems import InteractiveSegmenter

MAX_CLICKS = 20
GOOD, VERY_GOOD = 0.85, 0.90
CLICKED_IMAGES = 50


def interactive(
    model: InteractiveSegmenter,
    folder: CocoFolder,
    *,
    image_ids: Sequence[int] | None = None,
    clicked_images: int = CLICKED_IMAGES,
    max_clicks: int = MAX_CLICKS,
    batch_size: int = 32,
    progress: bool = False,
) -> InteractiveResult:
    """Segment every segment that is no crowd region from clicks.

    The first click is the deepest pixel of the segment, each further one the deepest pixel of the larger error, missing
    or superfluous (`find.data.strokes.next_click`). The model sees all clicks so far. NoC is the mean number of clicks
    to an IoU; a segment that does not get there within `max_clicks` counts as `max_clicks`.

    Args:
        image_ids: the images for the first click; all of the split if not given.
        clicked_images: on the first so many of them users go on clicking, for NoC (a further click costs as much
            as the first).

    Raises:
        MissingAnnotations: the images have no segments.
        FindError: a mask has another size than its image.
    """
    image_ids = folder.image_ids if image_ids is None else image_ids
    held_out = HeldOut.read(folder)
    first = Overlaps()
    tracks: list[list[float]] = []
    parts = ((image_ids[:clicked_images], max_clicks), (image_ids[clicked_images:], 1))
    for chosen, clicks in parts:
        title = "interactive, one click" if clicks == 1 else f"interactive, up to {clicks} clicks"
        for chunk in batches(chosen, batch_size, title=title, progress=progress):
            sessions = [session for image_id in chunk if (session := _Session.start(folder, image_id)) is not None]
            for number in range(clicks):
                _click(model, [session for session in sessions if session.open])
                if number == 0:
                    for session in sessions:
                        session.report(first, held_out)
            if clicks > 1:
                tracks += [track for session in sessions for track in session.tracks]
    if not len(first):
        raise MissingAnnotations(f"{folder.root}: the images of {folder.split} have no segments to click on")
    return InteractiveResult(
        first_click=divide(first),
        noc_85=clicks_needed(tracks, GOOD, max_clicks),
        noc_90=clicks_needed(tracks, VERY_GOOD, max_clicks),
        clicked_objects=len(tracks),
        max_clicks=max_clicks,
        images=len(image_ids),
    )


@dataclass
class _Session:
    """One image, its segments, and what the user has clicked and seen so far. `open` lists the rows still worked on."""

    image_id: int
    image: np.ndarray
    segment_ids: list[int]
    targets: Bool[np.ndarray, "r h w"]
    positive: Bool[np.ndarray, "r h w"]
    negative: Bool[np.ndarray, "r h w"]
    masks: Bool[np.ndarray, "r h w"]
    open: list[int]
    tracks: list[list[float]] = field(default_factory=list)

    @classmethod
    def start(cls, folder: CocoFolder, image_id: int) -> _Session | None:
        """A session before the first click; None for an image without segments."""
        segment_ids = [segment.id for segment in folder.segments(image_id) if not segment.is_crowd]
        if not segment_ids:
            return None
        targets = folder.segment_map(image_id)[None] == np.array(segment_ids)[:, None, None]
        return cls(
            image_id=image_id,
            image=folder.image(image_id),
            segment_ids=segment_ids,
            targets=targets,
            positive=np.zeros_like(targets),
            negative=np.zeros_like(targets),
            masks=np.zeros_like(targets),
            open=list(range(len(segment_ids))),
            tracks=[[] for _ in segment_ids],
        )

    def click(self) -> None:
        """One more click in each open row; a row with nothing left to correct is closed."""
        still_open = []
        for row in self.open:
            clicked = self.positive[row] | self.negative[row]
            click = next_click(self.masks[row], self.targets[row], clicked)
            if click is not None:
                (self.positive if click.is_positive else self.negative)[row] |= click.stroke
                still_open.append(row)
        self.open = still_open

    def see(self, masks: Sequence[np.ndarray]) -> None:
        """The model's answers for the open rows; a row that is very good is closed."""
        for row, mask in zip(self.open, masks, strict=True):
            intersection, union = overlap(mask, self.targets[row], image_id=self.image_id)
            self.masks[row] = mask
            self.tracks[row].append(intersection / union)
        self.open = [row for row in self.open if self.tracks[row][-1] < VERY_GOOD]

    def report(self, overlaps: Overlaps, held_out: HeldOut) -> None:
        for segment_id, mask, target in zip(self.segment_ids, self.masks, self.targets, strict=True):
            apart = held_out.holds(self.image_id, [segment_id])
            overlaps.add(mask, target, image_id=self.image_id, held_out=apart)


def _click(model: InteractiveSegmenter, sessions: Sequence[_Session]) -> None:
    """One round: a click on every open row of every session, and the model's answers."""
    for session in sessions:
        session.click()
    asked = [session for session in sessions if session.open]
    if not asked:
        return
    answers = model.interact(
        [session.image for session in asked],
        [session.positive[session.open] for session in asked],
        [session.negative[session.open] for session in asked],
    )
    for session, masks in zip(asked, answers, strict=True):
        session.see([answer.mask for answer in masks])
