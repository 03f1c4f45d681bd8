"""A synthetic world as embeddings and exact attributes, which give the ground truth of phrases for objects.

Descriptions and segments are four numbers each (category, colour, size, pattern), so that one tensor comparison decides
whether they match.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int64
from safetensors import safe_open
from torch import Tensor

from find.errors import InputError
from find.model.model import FIND
from find.query.entity import Phrase, Region
from find.query.query import Query
from find.utils.files import write_tensors
from find.utils.progress import progress_bar
from find.world.composition import Segment
from find.world.grammar import Description
from find.world.kinds import COLOURS, HELD_OUT, STUFF, THINGS, Pattern, Size, Thing
from find.world.language import Sentence
from find.world.scene import Scene, scene

KINDS = (*THINGS, *STUFF)
ATTRIBUTES = ("category", "colour", "size", "pattern")
OPTIONS: tuple[tuple[object, ...], ...] = (KINDS, COLOURS, tuple(Size), tuple(Pattern))
SILENT, MISSING = -1, -2
"""An attribute that a description does not mention, and one that a segment lacks (stuff, padding)."""
MOST_SEGMENTS = 16
SAME = 0.5
"""Minimum IoU for an object proposal to count as a segment."""
SHARES = (1.0, 0.7, 0.35, 0.4)
"""Probability that a phrase mentions each attribute."""
CHUNK = 32


def as_numbers(description: Description) -> tuple[int, int, int, int]:
    """The attributes of a description, as numbers."""
    values = (description.kind, description.colour, description.size, description.pattern)
    return tuple(
        SILENT if value is None else options.index(value) for value, options in zip(values, OPTIONS, strict=True)
    )


def attributes(segment: Segment) -> tuple[int, int, int, int]:
    """The attributes of a segment, as numbers."""
    look = segment.look
    if look is None:
        return KINDS.index(segment.kind), MISSING, MISSING, MISSING
    return as_numbers(Description(segment.kind, look.colour, look.size, look.pattern))


def fits(said: Int64[Tensor, "*q 4"], is_so: Int64[Tensor, "*q 4"]) -> Bool[Tensor, "*q"]:
    """Whether all mentioned attributes are true."""
    return ((said == SILENT) | (said == is_so)).all(dim=-1)


def all_descriptions() -> list[Description]:
    """All attributes of one thing or stuff segment."""
    found = [Description(kind) for kind in STUFF]
    for kind in THINGS:
        for colour in (None, *COLOURS):
            for size in (None, *Size):
                for pattern in (None, *Pattern) if kind.patterned else (None,):
                    found.append(Description(kind, colour, size, pattern))
    return found


def worded(description: Description, chance: random.Random) -> str:
    """A noun phrase with a random article and noun."""
    text = description.words("the" if chance.random() < 0.25 else "a", 1 if chance.random() < 0.15 else 0)
    return text.split(" ", 1)[1] if chance.random() < 0.1 else text


def embed_phrases(model: FIND, texts: list[str]) -> Float[Tensor, "t d"]:
    """Each phrase as a query of its own."""
    parts = [
        model.embed_queries([Query(Phrase(text)) for text in texts[start : start + 256]]).entities[:, 0]
        for start in range(0, len(texts), 256)
    ]
    return torch.cat(parts).float().cpu()


@dataclass(frozen=True)
class DescribedWorld:
    """Embedded scenes of a world, with their ground truth.

    Attributes:
        objects, boxes, scores: the object proposals of each image.
        segments: attributes of each image's segments; MISSING for padding.
        best, overlap: the segment that each object overlaps most, and their IoU.
        spoken, spoken_said, spoken_image: embeddings of the entities of sentences; their attributes; the image that
            they describe.
        shown, shown_is, shown_image: the embedding of one region per image; its attributes; its image.
    """

    objects: Float[Tensor, "i n d"]
    boxes: Float[Tensor, "i n 4"]
    scores: Float[Tensor, "i n"]
    segments: Int64[Tensor, "i s 4"]
    best: Int64[Tensor, "i n"]
    overlap: Float[Tensor, "i n"]
    spoken: Float[Tensor, "p d"]
    spoken_said: Int64[Tensor, "p 4"]
    spoken_image: Int64[Tensor, " p"]
    shown: Float[Tensor, "r d"]
    shown_is: Int64[Tensor, "r 4"]
    shown_image: Int64[Tensor, " r"]

    def __len__(self) -> int:
        return len(self.objects)

    def object_is(self, images: Int64[Tensor, " p"]) -> Int64[Tensor, "p n 4"]:
        """The attributes of the segment that each object overlaps most."""
        return self.segments[images].gather(1, self.best[images][..., None].expand(-1, -1, 4))

    def is_there(self, said: Int64[Tensor, "p 4"], images: Int64[Tensor, " p"]) -> Bool[Tensor, " p"]:
        """Whether an image has a matching segment."""
        return fits(said[:, None], self.segments[images]).any(dim=-1)

    def segments_of(self, image: int) -> list[tuple[int, ...]]:
        """The attributes of an image's segments."""
        return [tuple(segment) for segment in self.segments[image].tolist() if segment[0] != MISSING]

    @classmethod
    def cached(cls, path: Path | None, model: FIND, *, seed: int, split: str, count: int) -> DescribedWorld:
        """The result of `embed`, cached in a file if one is given.

        Raises:
            InputError: the file exists, but holds vectors of another model or of other scenes.
        """
        about = {"model": model.fingerprint, "seed": str(seed), "split": split, "images": str(count)}
        if path is not None and path.exists():
            with safe_open(path, framework="pt") as file:
                if file.metadata() != about:
                    raise InputError(
                        f"{path}: these vectors are of {file.metadata()}, not of {about}; name another file"
                    )
                return cls(**{name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
        world = cls.embed(model, seed=seed, split=split, count=count)
        if path is not None:
            write_tensors(path, {field.name: getattr(world, field.name) for field in fields(world)}, about)
        return world

    @classmethod
    def embed(cls, model: FIND, *, seed: int, split: str, count: int, sentences: int = 2) -> DescribedWorld:
        """Draws the first `count` scenes of a world and embeds them, with at most `sentences` sentences each."""
        parts: list[list[Tensor]] = []
        with progress_bar(shown=True, transient=True) as bar:
            task = bar.add_task(f"embedding world {seed}, {split}", total=count)
            for start in range(0, count, CHUNK):
                chunk = [scene(seed, split, index) for index in range(start, min(start + CHUNK, count))]
                parts.append(_embedded(model, chunk, start, sentences))
                bar.advance(task, len(chunk))
        return cls(*(torch.cat(column) for column in zip(*parts, strict=True)))


def _embedded(model: FIND, scenes: list[Scene], start: int, sentences: int) -> list[Tensor]:
    embedded = model.embed_images([one.image for one in scenes])
    segments = torch.full((len(scenes), MOST_SEGMENTS, 4), MISSING)
    best, overlap = [], []
    for row, one in enumerate(scenes):
        segments[row, : len(one.segments)] = torch.tensor([attributes(segment) for segment in one.segments])
        iou = _overlaps(embedded.object_masks(row).cpu(), one)
        found = iou.max(dim=1)
        best.append(found.indices)
        overlap.append(found.values)
    spoken = [(row, said) for row, one in enumerate(scenes) for said in one.sentences[:sentences]]
    whole = model.embed_queries([_as_query(said) for _, said in spoken])
    places = (~whole.padding.cpu()).nonzero()
    rows, entities = places.unbind(1)
    chance = random.Random(start)
    chosen = [chance.randrange(len(one.segments)) for one in scenes]
    regions = [
        Region(one.image, mask=one.segment_map == one.segments[k].id) for one, k in zip(scenes, chosen, strict=True)
    ]
    shown = model.embed_queries([Query(region) for region in regions]).entities[:, 0]
    numbers = torch.arange(len(scenes))
    return [
        embedded.objects.float().cpu(),
        embedded.boxes.float().cpu(),
        embedded.scores.float().cpu(),
        segments,
        torch.stack(best),
        torch.stack(overlap),
        whole.entities.float().cpu()[rows, entities],
        torch.tensor([as_numbers(_in_order(spoken[r][1])[e]) for r, e in places.tolist()]),
        torch.tensor([spoken[r][0] for r in rows.tolist()]) + start,
        shown.float().cpu(),
        segments[numbers, torch.tensor(chosen)],
        numbers + start,
    ]


def _in_order(sentence: Sentence) -> list[Description]:
    """The attributes of a sentence's phrases, in the order of the text."""
    return [sentence.statement.entities[phrase.entity] for phrase in sentence.text.phrases]


def _as_query(sentence: Sentence) -> Query:
    text, at = sentence.text.text, 0
    parts: list[str | Phrase] = []
    for phrase in sentence.text.phrases:
        parts += [text[at : phrase.start], Phrase(text[phrase.start : phrase.end])]
        at = phrase.end
    return Query(*[part for part in (*parts, text[at:]) if part])


def _overlaps(masks: Bool[Tensor, "n H W"], one: Scene) -> Float[Tensor, "n s"]:
    ids = torch.tensor([segment.id for segment in one.segments])
    true = (torch.from_numpy(one.segment_map).long() == ids[:, None, None]).flatten(1).float()
    mine = masks.flatten(1).float()
    common = mine @ true.T
    return common / (mine.sum(dim=1)[:, None] + true.sum(dim=1) - common).clamp(min=1)


def is_held_out(description: Description) -> bool:
    """Whether it names a combination of category and colour that is missing from the training images."""
    return (
        isinstance(description.kind, Thing)
        and description.colour is not None
        and (description.kind.name, description.colour.name) in HELD_OUT
    )
