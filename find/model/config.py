"""What a FIND model is made of, in plain values that travel as YAML and JSON."""

import dataclasses
import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from find.errors import CheckpointError, FindError, shown

FOLDER = "{folder}"
DTYPES = ("float32", "float16", "bfloat16")
LARGEST_SIZE, LARGEST_SIDE, MOST_LAYERS = 1 << 16, 1 << 14, 1000
"""Far above any model's; a larger value would fill the memory before it is found not to match the weights."""


@dataclass(frozen=True)
class InterfaceConfig:
    """Sizes of the interface (defaults: the paper's).

    Args:
        width, heads, feedforward, layers: of the attention stack.
        queries: object proposals and, as the last one, the image query.
        semantic_width: of the space in which words, regions and images are compared.
        mask_width: of the space in which masks are made.
        decoder_width, decoder_layers: of the pixel decoder's pyramid and its transformer encoder.
        region_points: samples of a region at each of the three levels.
        residual: add the foundations' own embeddings of images, places and texts, where they share a space.
        pair_width: of what the words between entities and pairs of objects are compared in; 0: no such term, so that
            the published score ranks.
        tagger_width: of the tagger that finds the entities of plain sentences; 0: none, so that braces mark them.
        match_width: hidden width of the match head, which predicts the probability that an object matches an entity;
            0: no match head, so predictions have no presence probability.
    """

    width: int = 512
    heads: int = 8
    feedforward: int = 2048
    layers: int = 9
    queries: int = 101
    semantic_width: int = 512
    mask_width: int = 512
    decoder_width: int = 512
    decoder_layers: int = 6
    region_points: int = 128
    residual: bool = True
    pair_width: int = 0
    tagger_width: int = 0
    match_width: int = 0

    def __post_init__(self) -> None:
        for name in (
            "width",
            "feedforward",
            "queries",
            "semantic_width",
            "mask_width",
            "decoder_width",
            "region_points",
        ):
            _check_number(name, getattr(self, name), 1, LARGEST_SIZE)
        for name, least in (("heads", 1), ("layers", 1), ("decoder_layers", 0)):
            _check_number(name, getattr(self, name), least, MOST_LAYERS)
        for name in ("pair_width", "tagger_width", "match_width"):
            _check_number(name, getattr(self, name), 0, LARGEST_SIZE)
        for name in ("width", "decoder_width"):
            size = getattr(self, name)
            if size % self.heads or size % 4:
                raise CheckpointError(f"{name} is {size}; it must be a multiple of 4 and of the {self.heads} heads")


@dataclass(frozen=True)
class Conventions:
    """Where the published FIND checkpoints do otherwise than we do; the defaults are ours.

    Args:
        memories: learned tokens that carry an answered mask into the next round of strokes (published: 32).
        image_from_objects: the image's embeddings are a weighted sum of its objects'.
        corner_aligned_points: regions are read with corners of mask and map aligned, `region_points` of all regions
            of an image together instead of each.
        dot_products: strokes and entities are compared with proposals by bare dot products instead of cosines.
        regions_by_pixel: entities that are regions are compared in the pixel space instead of the semantic one.
        class_scale_limit: of the temperature of class logits (published: None, no limit).
        bicubic_masks: mask logits come to a picture's size by antialiased bicubic instead of bilinear resizing.
        canvas_colour: RGB in 0..255 around a picture that does not fill its canvas; None is black (published: the mean
            colour, so that it is zero after normalisation).
        places_in_values: add positions to the attention's values of pixels, not only to the keys (published: keys
            only).
        pairs_before_things: instances are the things among the best pairs of a proposal and any class, stuff too,
            instead of the best pairs of a proposal and a thing.
    """

    memories: int = 0
    image_from_objects: bool = False
    corner_aligned_points: bool = False
    dot_products: bool = False
    regions_by_pixel: bool = False
    class_scale_limit: float | None = 100.0
    bicubic_masks: bool = False
    canvas_colour: tuple[float, float, float] | None = None
    places_in_values: bool = True
    pairs_before_things: bool = False

    def __post_init__(self) -> None:
        _check_number("memories", self.memories, 0, LARGEST_SIZE)
        if self.class_scale_limit is not None:
            _check_number("class_scale_limit", self.class_scale_limit, 0, 1e6)
        if self.canvas_colour is not None:  # JSON has no tuples
            object.__setattr__(self, "canvas_colour", tuple(self.canvas_colour))


@dataclass(frozen=True)
class FINDConfig:
    """Foundations by their specs, the interface by its sizes.

    Args:
        vision, language: specs as `find.foundations.load_vision` and `load_language` take them; "{folder}" in them
            stands for the folder that the config lies in.
        interface: its sizes.
        conventions: where it follows the published checkpoints.
        shortest_side, longest_side: of a picture when it enters the vision encoder, in pixels.
        class_prompt: the text that a class name becomes.
        panoptic_score, panoptic_overlap: when a proposal becomes a panoptic segment: its least class probability, and
            the minimum share of its mask that remains after overlaps with other proposals.
        vision_dtype, language_dtype: of the encoders' weights: float32, float16 or bfloat16, whatever the
            interface is trained in.
        long_texts: "refuse" texts with more tokens than the language encoder takes, or "cut" them with a warning.
        tasks: further tasks, by the names of their entry points in the group `find.tasks` or by class paths.
    """

    vision: str = "tiny"
    language: str = "tiny"
    interface: InterfaceConfig = field(default_factory=InterfaceConfig)
    conventions: Conventions = field(default_factory=Conventions)
    shortest_side: int = 640
    longest_side: int = 1024
    class_prompt: str = "{}"
    panoptic_score: float = 0.8
    panoptic_overlap: float = 0.8
    vision_dtype: str = "float32"
    language_dtype: str = "float32"
    long_texts: str = "refuse"
    tasks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_number("shortest_side", self.shortest_side, 8, LARGEST_SIDE)
        _check_number("longest_side", self.longest_side, self.shortest_side, LARGEST_SIDE)
        for name in ("panoptic_score", "panoptic_overlap"):
            _check_number(name, getattr(self, name), 0, 1)
        object.__setattr__(self, "tasks", tuple(self.tasks))  # JSON has no tuples
        for name in ("vision_dtype", "language_dtype"):
            dtype = getattr(self, name)
            if dtype not in DTYPES:
                raise CheckpointError(f"{name} is {shown(dtype)}; it must be one of {', '.join(DTYPES)}")
        if "{}" not in self.class_prompt:
            raise CheckpointError(
                f"class_prompt is {shown(self.class_prompt)}; put {{}} where the class name belongs, or all classes "
                "are one"
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain data for config.json, which `from_dict` reads."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, source: str) -> "FINDConfig":
        """Raises FindError for a key that is not there, naming the nearest one, and for a value that cannot be.

        `source` names the file.
        """
        _check_keys(cls, values, source)
        for name, kind in (("interface", InterfaceConfig), ("conventions", Conventions)):
            _check_keys(kind, values.get(name, {}), source)
        try:
            return msgspec.convert(dict(values), cls)
        except FindError as error:
            raise CheckpointError(f"{source}: {error}") from None
        except (ValueError, TypeError) as error:  # msgspec's errors are ValueErrors
            reason, _, place = str(error).partition(" - at `$.")
            where = f"{place.rstrip('`')}: " if place else ""
            raise CheckpointError(f"{source}: {where}{reason}; write it again, or fetch the model again") from None

    def in_folder(self, folder: str | os.PathLike[str]) -> "FINDConfig":
        """The config with its folder filled in.

        Raises FindError where it would run a program of that folder: what is downloaded is read, never run.
        """
        for spec in (self.vision, self.language):
            if FOLDER in spec and ".py" in spec:
                raise CheckpointError(
                    f"{folder}: this model's foundation is code in its own folder ({spec}), which FIND does not run; "
                    "read it, keep a copy elsewhere, and name that in config.json"
                )
        vision, language = (spec.replace(FOLDER, os.path.abspath(folder)) for spec in (self.vision, self.language))
        return dataclasses.replace(self, vision=vision, language=language)

    def out_of_folder(self, folder: str | os.PathLike[str]) -> "FINDConfig":
        """The config with a "{folder}" again where it names this one."""
        here = os.path.join(os.path.abspath(folder), "")
        vision, language = (spec.replace(here, f"{FOLDER}/") for spec in (self.vision, self.language))
        return dataclasses.replace(self, vision=vision, language=language)

    @property
    def kept_beside(self) -> list[str]:
        """Names of the sub-folders of the model's folder that hold its foundations."""
        specs = f"{self.vision} {self.language}"
        return sorted(set(re.findall(re.escape(FOLDER) + r"/([\w.-]+)", specs)))


def _check_number(name: str, value: float, least: float, most: float) -> None:
    if isinstance(value, bool) or not least <= value <= most:  # false for NaN, too
        raise CheckpointError(f"{name} is {value!r:.40}; it must be a number from {least:g} to {most:g}")


def _check_keys(kind: type, values: Mapping[str, Any], source: str) -> None:
    if not isinstance(values, Mapping):
        raise CheckpointError(f"{source}: {values!r:.80} is not a table of settings, which {kind.__name__} needs")
    names = [f.name for f in dataclasses.fields(kind)]
    for key in values:
        if key not in names:
            near = difflib.get_close_matches(key, names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it may have: {', '.join(names)}"
            raise CheckpointError(f"{source}: unknown key {key!r}; {hint}")
