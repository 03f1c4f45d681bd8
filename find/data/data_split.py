"""The interface of data readers for training and evaluation: one split of a data set, in any file format.

A reader is a subclass of `DataSplit`. A package adds one by declaring it in its pyproject.toml; FIND's own are declared
the same way:

    [project.entry-points."find.data"]
    mydata = "mypackage.data:MySplit"

`findvl fit --data mydata --data.root FOLDER` then trains on it.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
from jaxtyping import Int, UInt8

from find.data.check_report import CheckReport
from find.data.dataset_issue import Report
from find.data.false_sentences import HardNegatives, Probe
from find.data.instances import Instances
from find.data.sample import Category, Expression, Foil, Sample, Segment, Sentence
from find.errors import DataError, InputError, warn_caller
from find.utils.entry_points import declared, load_named

GROUP = "find.data"
"""The group of entry points."""

T = TypeVar("T", Sentence, Expression)


class DataSplit(ABC):
    """The images of one split, read lazily, and their annotations.

    A reader calls this constructor and implements the abstract methods; the other methods have defaults, which mean
    that the data have no such annotations. Its own constructor takes `root` and `split`, and options by keyword if it
    has any. Instances are pickled or forked into loader processes.

    Args:
        root: the folder of the data set.
        split: the split's name.
        categories: the classes of segments; `categories[i].index == i`.
        image_ids: ids of all images, in the order of the split.
        captions: texts about whole images, by image id.
        sentences: sentences with phrases linked to segments, for grounding and the interleaved tasks.
        expressions: referring expressions, for grounding.
        skipped: numbers of omitted or doubtful items, by kind (`warn_of_skipped`).
    """

    train_split: ClassVar[str] = "train"
    val_split: ClassVar[str] = "val"
    """Default names of the training and validation splits."""

    def __init__(
        self,
        root: str | Path,
        split: str,
        *,
        categories: Sequence[Category],
        image_ids: Sequence[int],
        captions: Mapping[int, tuple[str, ...]] | None = None,
        sentences: Sequence[Sentence] = (),
        expressions: Sequence[Expression] = (),
        skipped: Counter[str] | None = None,
    ) -> None:
        self.root = Path(root)
        self.split = split
        self.categories = tuple(categories)
        self.image_ids = tuple(image_ids)
        self.captions = captions or {}
        self.sentences = tuple(sentences)
        self.expressions = tuple(expressions)
        self.skipped = Counter() if skipped is None else skipped
        self._sentences_of = _by_image(self.sentences)
        self._expressions_of = _by_image(self.expressions)

    # --- to be implemented by readers ---

    @abstractmethod
    def file_name(self, image_id: int) -> str:
        """The image's file name, for messages and results."""

    @abstractmethod
    def image_size(self, image_id: int) -> tuple[int, int]:
        """Height and width in pixels, without decoding the image."""

    @abstractmethod
    def image(self, image_id: int) -> UInt8[np.ndarray, "h w 3"]:
        """RGB pixels, upright."""

    @abstractmethod
    def segment_map(self, image_id: int) -> Int[np.ndarray, "h w"]:
        """int32 of segment ids, 0 = void."""

    @abstractmethod
    def segments(self, image_id: int) -> tuple[Segment, ...]:
        """All segments of the image, crowd regions too; each has pixels in the segment map."""

    # --- derived ---

    def __len__(self) -> int:
        return len(self.image_ids)

    def __getitem__(self, position: int) -> Sample:
        """The image at `position` with all its annotations."""
        image_id = self.image_ids[position]
        image, segment_map = self.image(image_id), self.segment_map(image_id)
        if image.shape[:2] != segment_map.shape:
            raise DataError(
                f"{self.root}, {self.file_name(image_id)}: the segments are {size_text(segment_map)} but the image is "
                f"{size_text(image)}. Correct its annotations, or take the image out."
            )
        return self.assemble(position, image, segment_map)

    def assemble(self, position: int, image: np.ndarray, segment_map: np.ndarray) -> Sample:
        """The sample at `position`, with pixels uint8 [h, w, 3] and segment ids int32 [h, w] that were read before."""
        image_id = self.image_ids[position]
        sentences = self.sentences_of(image_id)
        return Sample(
            image_id=image_id,
            file_name=self.file_name(image_id),
            image=image,
            segment_map=segment_map,
            segments=self.segments(image_id),
            captions=self.captions_of(image_id),
            sentences=sentences,
            expressions=self.expressions_of(image_id),
            foils={s.id: self.foils[s.id] for s in sentences if s.id in self.foils},
        )

    def position(self, image_id: int) -> int:
        """The index of the image in the split; DataError if it is not in it."""
        try:
            return self._positions[image_id]
        except KeyError:
            raise DataError(f"{self.root}: there is no image {image_id} in {self.split}.") from None

    def sample(self, image_id: int) -> Sample:
        """The image with its annotations. Raises DataError for an unknown id or an unreadable image."""
        return self[self.position(image_id)]

    def captions_of(self, image_id: int) -> tuple[str, ...]:
        """The captions of an image, an empty tuple if it has none."""
        return self.captions.get(image_id, ())

    def sentences_of(self, image_id: int) -> tuple[Sentence, ...]:
        """The sentences of an image whose phrases are linked to its segments."""
        return self._sentences_of.get(image_id, ())

    def expressions_of(self, image_id: int) -> tuple[Expression, ...]:
        """The referring expressions of an image."""
        return self._expressions_of.get(image_id, ())

    def sizes(self) -> Int[np.ndarray, "images 2"]:
        """Height and width of all images."""
        return np.array([self.image_size(image_id) for image_id in self.image_ids], np.int32).reshape(-1, 2)

    def segment_counts(self) -> Int[np.ndarray, " images"]:
        """Number of segments of each image, without crowd regions."""
        counts = [sum(not segment.is_crowd for segment in self.segments(image_id)) for image_id in self.image_ids]
        return np.array(counts, np.int64)

    def warn_of_skipped(self, check: str) -> None:
        """Warns of the items counted in `skipped`, if any. `check` is the command that lists them."""
        if self.skipped:
            warn_caller(
                f"{self.root} {self.split}: left out or doubtful: {kinds_text(self.skipped)}. `{check}` lists each."
            )

    # --- optional annotations ---

    @property
    def foils(self) -> Mapping[int, tuple[Foil, ...]]:
        """Labelled false variants of sentences, by the true one's id."""
        return {}

    def held_out(self) -> Mapping[int, frozenset[int]]:
        """Image id -> segments with held-out attribute combinations, which get metrics of their own."""
        return {}

    def instances(self, report: Report) -> Instances | None:
        """Objects that may overlap, the ground truth of mask AP. None: the segment maps hold them all."""
        return None

    def probes(self) -> Sequence[Probe]:
        """Labelled compositional probes."""
        return ()

    def form_probes(self) -> Sequence[Probe]:
        """Labelled probes of sentences of further forms, named by `Probe.form`."""
        return ()

    def hard_negatives(self) -> Sequence[HardNegatives]:
        """True sentences, each with false ones about the same image."""
        return ()

    @classmethod
    def check_root(cls, root: Path) -> None:
        """Raises DataError if `root` cannot be a data set of this kind; a quick check of a few names only."""
        if not root.is_dir():
            raise DataError(f"{root}: there is no such folder. Give the folder of the data set.")

    @classmethod
    def check(cls, root: Path, split: str | None = None) -> CheckReport:
        """The report of `findvl data check`; to be overridden by readers that can list issues."""
        raise InputError(f"{root}: the reader {cls.__name__} has no check; read the data with it to see whether it can")

    @cached_property
    def _positions(self) -> dict[int, int]:
        return {image_id: position for position, image_id in enumerate(self.image_ids)}


def load_reader(name: str) -> type[DataSplit]:
    """The reader of a short name, such as "coco" or "yolo", or of a class path.

    Raises:
        InputError: there is no reader of that name, or it is not a `DataSplit`.
    """
    reader = load_named(name, GROUP, "reader of data")
    if not (isinstance(reader, type) and issubclass(reader, DataSplit)):
        raise InputError(f"{name!r} is not a data reader: it must be a subclass of find.data.data_split.DataSplit")
    return reader


def open_split(root: str | Path, split: str | None = None, *, reader: str = "coco", **options: Any) -> DataSplit:
    """One split of a data set.

    Args:
        root: the folder of the data set.
        split: its name; by default the reader's validation split.
        reader: a short name, such as "coco" or "yolo", or a class path.
        options: of the reader.

    Raises:
        InputError: there is no such reader, or it has no such option.
        DataError: the data cannot be read.
    """
    found = load_reader(reader)
    check_options(found, options)
    return found(root, split or found.val_split, **options)


def check_options(reader: type[DataSplit], options: Mapping[str, Any]) -> None:
    """Raises InputError for an option that the reader's constructor does not take."""
    parameters = inspect.signature(reader).parameters
    known = [name for name in parameters if name not in ("root", "split")]
    for name in options:
        if name not in known:
            options_text = f"it has {', '.join(known)}" if known else "it has none"
            raise InputError(f"the reader {reader.__name__} has no option {name!r}; {options_text}")


def reader_names() -> list[str]:
    """Short names of the readers of all installed packages."""
    return sorted(declared(GROUP))


def kinds_text(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{kind}: {count}" for kind, count in sorted(counts.items()))


def size_text(pixels: np.ndarray) -> str:
    return f"{pixels.shape[1]} x {pixels.shape[0]}"


def _by_image(items: Iterable[T]) -> dict[int, tuple[T, ...]]:
    groups: dict[int, list[T]] = defaultdict(list)
    for item in items:
        groups[item.image_id].append(item)
    return {image_id: tuple(group) for image_id, group in groups.items()}
