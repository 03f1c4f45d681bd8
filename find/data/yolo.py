"""The reader of YOLO segmentation folders: pictures, one outline per row of their labels, classes in data.yaml."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int, UInt8

from find.data.check_report import CheckReport
from find.data.class_sentences import sentences_of_classes
from find.data.data_split import DataSplit, kinds_text
from find.data.dataset_issue import DatasetIssue, Report, Severity
from find.data.decode import decode_photo
from find.data.instances import Instance, Instances
from find.data.panoptic import category_color
from find.data.sample import Category, Segment
from find.data.schema import ImageRecord
from find.data.yolo_files import YoloConfig, label_file
from find.data.yolo_pictures import YoloPicture, read_split
from find.errors import DataError, FindError


class YoloFolder(DataSplit):
    """The pictures of one split, with outlines as segments; all classes are things.

    ::

        root/data.yaml                      names: [cat, dog], train: images/train, val: images/val
        root/images/{split}/**/*.jpg        or root/{split}/images, or wherever data.yaml says, or a list of pictures
        root/labels/{split}/**/*.txt        beside the images' folder, with the same folders and names in it

    Each picture gets a template sentence ("Two cats left of a dog."), whose phrases are linked to their segments and
    have references in the next picture with that class, for grounding, retrieval and the interleaved tasks. It is also
    the picture's caption. Images are numbered from 1 by path. AP is measured on the complete outlines, which may
    overlap; everything else on the segment map, where smaller objects are on top.

    Boxes, invalid rows, hidden objects and unreadable pictures are left out, counted in `skipped` by kind, and reported
    in one warning.

    Args:
        root: the folder that holds data.yaml.
        split: train, val or test.
        sentences: whether to make sentences.

    Raises:
        DataError: there is no data.yaml, or no picture of the split can be used.
    """

    def __init__(self, root: str | Path, split: str, *, sentences: bool = True) -> None:
        root = Path(root)
        skipped: Counter[str] = Counter()
        pictures, config = read_split(root, split, lambda issue: skipped.update([issue.kind]))
        if not pictures:
            raise DataError(
                f"{root}: no picture of {split} can be used ({kinds_text(skipped)}). Export the data set again."
            )
        self._pictures = dict(enumerate(pictures, start=1))
        categories = [
            Category(number, name, True, category_color(None, index), index)
            for index, (number, name) in enumerate(config.names.items())
        ]
        segments = {image_id: picture.segments() for image_id, picture in self._pictures.items()}
        sizes = {image_id: picture.size for image_id, picture in self._pictures.items()}
        made = sentences_of_classes(segments, categories, sizes) if sentences else []
        super().__init__(
            root,
            split,
            categories=categories,
            image_ids=tuple(self._pictures),
            sentences=made,
            captions={sentence.image_id: (sentence.text,) for sentence in made},
            skipped=skipped,
        )
        self.warn_of_skipped(f"findvl data check {root} --data yolo --split {split}")

    def file_name(self, image_id: int) -> str:
        return self._pictures[image_id].name

    def image_size(self, image_id: int) -> tuple[int, int]:
        return self._pictures[image_id].size

    def image(self, image_id: int) -> UInt8[np.ndarray, "h w 3"]:
        picture = self._pictures[image_id]
        try:
            pixels = decode_photo(picture.path.read_bytes(), str(picture.path))
        except (OSError, FindError) as error:
            raise DataError(
                f"{picture.path}: it cannot be read ({error}). Put the picture back, or remove it."
            ) from error
        if pixels.shape[:2] != picture.size:
            raise DataError(f"{picture.path}: it has changed since the data set was opened. Open the data set again.")
        return pixels

    def segment_map(self, image_id: int) -> Int[np.ndarray, "h w"]:
        return self._pictures[image_id].segment_map()

    def segments(self, image_id: int) -> tuple[Segment, ...]:
        return self._pictures[image_id].segments()

    def segment_counts(self) -> Int[np.ndarray, " images"]:
        return np.array([len(picture.rows) for picture in self._pictures.values()], np.int64)

    def instances(self, report: Report) -> Instances:
        """The complete outlines."""
        images = {
            image_id: ImageRecord(image_id, picture.name, *picture.size) for image_id, picture in self._pictures.items()
        }
        objects = tuple(
            Instance(image_id, row.number, False, None, [picture.outline(row).ravel().tolist()],
                     f"{picture.name}, {row.item}")
            for image_id, picture in self._pictures.items()
            for row in picture.rows
        )  # fmt: skip
        return Instances(f"the labels of {self.split}", images, objects, self.categories)

    @classmethod
    def check_root(cls, root: Path) -> None:
        YoloConfig.read(root)

    @classmethod
    def check(cls, root: Path, split: str | None = None) -> CheckReport:
        """Reads every label and decodes every picture of the splits."""
        config = YoloConfig.read(root)
        issues: list[DatasetIssue] = []
        checked: Counter[str] = Counter()
        outcomes = []
        splits = [split] if split else config.splits()
        for name in splits:
            before = len(issues)
            pictures, _ = read_split(root, name, issues.append)
            for picture in pictures:
                _check_pixels(picture, issues.append)
            _check_labels(root, pictures, issues.append)
            checked.update(images=len(pictures), objects=sum(len(picture.rows) for picture in pictures))
            left_out = f"read; left out or doubtful: {len(issues) - before}" if len(issues) > before else "read"
            outcomes.append(f"{name} is {left_out if pictures else 'refused, for no picture can be used'}")
        return CheckReport(str(root), tuple(splits), checked, tuple(issues), tuple(outcomes))


def _check_labels(root: Path, pictures: Sequence[YoloPicture], report: Report) -> None:
    """Reports label files without a picture."""
    labels = {label_file(picture.path) for picture in pictures}
    for folder in sorted({label.parent for label in labels}):
        for file in sorted(folder.glob("*.txt")):
            if file not in labels and file.stem != "classes":
                name = str(file.relative_to(root)) if file.is_relative_to(root) else str(file)
                message = "there is no picture of this name that can be used"
                report(DatasetIssue(Severity.WARNING, "labels without picture", name, "the file", message,
                                    "Put the picture there, or remove the file"))  # fmt: skip


def _check_pixels(picture: YoloPicture, report: Report) -> None:
    fix = "Put the picture back, or remove it"
    try:
        pixels = decode_photo(picture.path.read_bytes(), str(picture.path))
    except (OSError, FindError) as error:
        report(DatasetIssue(Severity.ERROR, "broken picture", picture.name, "the picture", str(error), fix))
        return
    if min(pixels.shape[:2]) < 32:
        message = f"it is {pixels.shape[1]} x {pixels.shape[0]}"
        report(DatasetIssue(Severity.WARNING, "tiny picture", picture.name, "the picture", message, "Take it out"))
    if not picture.rows:
        label = label_file(picture.path)
        message = "it has no objects" if label.exists() else f"there is no {label.name}, so it has no objects"
        report(DatasetIssue(Severity.WARNING, "picture without objects", picture.name, "the picture", message,
                            "Nothing, if that is so"))  # fmt: skip
