"""What limits composition on a world: whose exact labels say in which other images a sentence is true, too, and where
the things are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torchvision.ops import box_iou

from find.evaluation.gallery import ImageGallery
from find.world.composition import Composition
from find.world.grammar import Statement, solutions
from find.world.relations import Relations, relations
from find.world.scene import VAL, composition, scene

FOUND = 0.5
"""IoU of a proposal's box with a thing's, above which the thing counts as found."""


@dataclass(frozen=True)
class TrueScenes:
    """The scenes of a gallery's images, drawn again, and the statement and segments of each one's first sentence."""

    scenes: list[Composition]
    relations: list[Relations]
    statements: list[Statement]
    meant: list[tuple[int, ...]]

    @classmethod
    def of(cls, world: Path, count: int) -> TrueScenes:
        """The first `count` val scenes of a folder of `findvl data world`."""
        about = json.loads((world / "world.json").read_text())
        seed, size = about["seed"], about["size"]
        drawn = [composition(seed, VAL, index, size) for index in range(count)]
        said = [scene(seed, VAL, index, size).sentences[0] for index in range(count)]
        truth = [relations(one) for one in drawn]
        return cls(drawn, truth, [one.statement for one in said], [one.segments for one in said])

    def boxes(self, row: int) -> Float[torch.Tensor, "s 4"]:
        one = self.scenes[row]
        return torch.tensor([segment.box for segment in one.segments], dtype=torch.float) / one.image.shape[0]

    def placed(self, gallery: ImageGallery) -> ImageGallery:
        """The gallery with proposals where the true segments are: each box that overlaps a segment's by more than
        FOUND becomes that segment's."""
        boxes = gallery.boxes.clone()
        for row in range(len(gallery)):
            true = self.boxes(row)
            overlap, nearest = box_iou(boxes[row], true).max(dim=1)
            found = overlap > FOUND
            boxes[row, found] = true[nearest[found]]
        return replace(gallery, boxes=boxes)

    def missed(self, gallery: ImageGallery, row: int) -> bool:
        """Whether a thing or stuff that the sentence of an image means has no proposal there."""
        true = self.boxes(row)[list(self.meant[row])]
        return bool((box_iou(true, gallery.boxes[row]).amax(dim=1) <= FOUND).any())

    def also_true(self, row: int, images: Sequence[int], *, surely: bool) -> list[int]:
        """Of some images those of which the sentence of image `row` is true, too: surely, or so that it may not be
        called false, which is how the world judges its false sentences."""
        return [
            image
            for image in images
            if image != row and next(self._solutions(self.statements[row], image, surely), None) is not None
        ]

    def _solutions(self, statement: Statement, image: int, surely: bool):
        truth = self.relations[image]
        return solutions(statement, self.scenes[image].segments, truth.surely if surely else truth.possibly)


def ceilings(true: TrueScenes, gallery: ImageGallery, scores: dict[str, Float[np.ndarray, "q q"]]) -> list[str]:
    """Lines of a table: what a perfect system reaches as IR@1 where equally true images are a toss of a coin, and what
    is true of the misses of each of these scores."""
    count = len(gallery)
    images = range(count)
    ties = {surely: [true.also_true(row, images, surely=surely) for row in images] for surely in (True, False)}
    perfect = {surely: 100 * float(np.mean([1 / (1 + len(found)) for found in of])) for surely, of in ties.items()}
    unseen = [true.missed(gallery, row) for row in images]
    lines = [
        f"A perfect system's IR@1 of {count}: {perfect[True]:.1f} if it tosses a coin between the images of which a "
        f"sentence is surely true, {perfect[False]:.1f} if between all of which it may not be called false (as the "
        f"world judges false sentences). {100 * float(np.mean(unseen)):.1f} % of the sentences mean something of which "
        f"there is no proposal of box IoU > {FOUND}.",
        "",
        "| misses at IR@1 | number | sentence surely true of the winner | not false of the winner | own entity without "
        "a proposal | none of these |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, score in scores.items():
        others = np.where(np.eye(count, dtype=bool), -np.inf, score)
        winner = others.argmax(axis=1)
        missed = [row for row in images if others[row, winner[row]] >= score[row, row]]
        sure, possible = ([row for row in missed if winner[row] in ties[surely][row]] for surely in (True, False))
        without = [row for row in missed if unseen[row]]
        rest = set(missed) - set(possible) - set(without)
        counts = (len(missed), len(sure), len(possible), len(without), len(rest))
        lines.append(f"| {name} | " + " | ".join(str(number) for number in counts) + " |")
    return lines
