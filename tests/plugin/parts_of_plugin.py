"""Checks the plugin's parts where it is installed, as their users do: python -m parts_of_plugin DATA."""

import sys

import numpy as np
import torch

from find.data.data_split import DataSplit, open_split
from find.evaluation.evaluate import evaluate
from find.foundations import load_language, load_vision
from find.model.predictions import EntityMask


class Truth:
    """Points at the first thing of a class."""

    def __init__(self, split: DataSplit) -> None:
        self.split = split
        self.id_of = {split.image(image_id).tobytes(): image_id for image_id in split.image_ids}
        self.categories = {category.words: category.id for category in split.categories}

    def ground(self, images, texts):
        return [
            [self._first(self.id_of[image.tobytes()], text.partition(" ")[2]) for text in own]
            for image, own in zip(images, texts, strict=True)
        ]

    def _first(self, image_id: int, name: str) -> EntityMask:
        segments = self.split.segments(image_id)
        one = next(segment for segment in segments if segment.category_id == self.categories[name])
        return EntityMask(self.split.segment_map(image_id) == one.id, 1.0)


def check_encoders() -> None:
    language, vision = load_language("hashing:16"), load_vision("filters:8")
    texts = ["a red bead", "two blue beads near a gold bead", ""]
    together = language(language.tokenize(texts))
    for row, text in enumerate(texts):
        alone = language(language.tokenize([text]))
        count = int((~alone.padding).sum())
        assert torch.equal(together.tokens[row, :count], alone.tokens[0]), text
        assert bool(together.padding[row, count:].all())
    start, end = language.tokenize(texts).offsets[1, 5].tolist()
    assert texts[1][start:end] == "gold"
    maps = vision(torch.zeros(2, 3, 64, 96, dtype=torch.uint8)).maps
    assert [tuple(one.shape) for one in maps] == [(2, 8, 64 // s, 96 // s) for s in (4, 8, 16, 32)]


def check_reader(split: DataSplit) -> None:
    for position in range(len(split)):
        sample = split[position]
        for segment in sample.segments:
            drawn = sample.segment_map == segment.id
            assert abs(int(drawn.sum()) - segment.area) < 0.1 * segment.area
            spread = np.abs(sample.image[drawn].astype(int) - np.median(sample.image[drawn], axis=0)).max(axis=1)
            assert (spread == 0).mean() > 0.8, "a circle has one colour, but for pixels at its edge"


if __name__ == "__main__":
    check_encoders()
    split = open_split(sys.argv[1], reader="beads")
    check_reader(split)
    found = evaluate(Truth(split), split, tasks=["pointing"], progress=False).to_json()
    assert found["pointing"] == {"hit": 100, "distance": 0}, found["pointing"]
    print("all well")
