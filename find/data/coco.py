"""One split of a data set in COCO's panoptic layout, with captions, FIND-Bench sentences and referring expressions."""

from __future__ import annotations

from collections import Counter, defaultdict
from functools import cached_property
from pathlib import Path

import numpy as np

from find.data.check_report import CheckReport
from find.data.data_split import DataSplit, size_text
from find.data.dataset_issue import DatasetIssue, Report, Severity
from find.data.decode import colour_hint, decode_photo, decode_segment_map
from find.data.false_sentences import (
    HardNegatives,
    Probe,
    form_probes,
    labelled_probes,
    read_foils,
    read_hard_negatives,
)
from find.data.find_bench import read_expressions, read_sentences
from find.data.held_out import read_held_out
from find.data.instances import Instances, read_instances
from find.data.panoptic import PanopticTable
from find.data.records import has_words, read_document
from find.data.sample import Foil, Sample, Segment, Sentence
from find.data.schema import CaptionDocument
from find.data.segment_map import unlisted_ids
from find.data.sizes import wrong_size
from find.data.source import FileSource, open_source
from find.errors import DataError, FindError

AUTO = "auto"


class CocoFolder(DataSplit):
    """The images of one split, read lazily, and their annotations, read at once.

    ::

        root/{split}/*.jpg                 or root/{split}.zip
        root/panoptic_{split}/*.png        or root/panoptic_{split}.zip, or either inside annotations/,
                                           or that zip inside root/panoptic_annotations_*.zip
        root/annotations/panoptic_{split}.json
        root/annotations/captions_{split}.json      optional
        root/annotations/entity_{split}.json        optional (`entities="auto"`)
        root/annotations/referring_{split}.json     optional
        root/annotations/probes_{split}.json        optional: false variants of sentences
        root/annotations/hard_negatives_{split}.json    likewise

    Instances may be forked and pickled (see `ZipSource`). Single items that cannot be used (such as a phrase whose
    annotation id is unknown or a crowd region) are left out, counted in `skipped` by kind, and reported in one warning.

    Args:
        root: the folder that holds annotations/.
        split: for example "val2017".
        entities: which sentences to read: a file's name without .json ("entity_val2017_long",
            "interleave_val2017"), "auto" for entity_{split} if it exists, None for no sentences.

    Raises:
        FindError: a folder or file is missing or cannot be read, or its annotations contradict themselves
            (see `findvl data check`).
    """

    train_split = "train2017"
    val_split = "val2017"

    def __init__(self, root: str | Path, split: str, *, entities: str | None = AUTO) -> None:
        root = Path(root)
        self._entities = entities
        self.annotations = annotations_folder(root)
        self.skipped: Counter[str] = Counter()
        self.table = PanopticTable.read(self.annotations / f"panoptic_{split}.json", self._refuse_or_skip)
        self.images: FileSource = open_images(root, split)
        self.images.match(self.table.file_names)
        self.maps: FileSource = open_maps(root, split)
        self.maps.match(self.table.map_names)
        captions = self.annotations / f"captions_{split}.json"
        referring = self.annotations / f"referring_{split}.json"
        super().__init__(
            root,
            split,
            categories=self.table.categories,
            image_ids=self.table.image_ids,
            captions=read_captions(captions, self.table, self._refuse_or_skip) if captions.exists() else {},
            expressions=read_expressions(referring, self.table, self._refuse_or_skip) if referring.exists() else (),
            sentences=self._read_sentences(split, entities),
            skipped=self.skipped,
        )
        self.warn_of_skipped(f"findvl data check {root} --split {split}")

    def __getitem__(self, position: int) -> Sample:
        """The image at `position` with all its annotations."""
        image, segment_map = self.image_at(position), self.segment_map_at(position)
        if image.shape[:2] != segment_map.shape:
            raise DataError(
                f"{self._map_name(position)}: the segments are {size_text(segment_map)} but the image "
                f"{self._image_name(position)} is {size_text(image)}. Write the PNG for this image again."
            )
        return self.assemble(position, image, segment_map)

    def position(self, image_id: int) -> int:
        """The index of the image in the split; FindError if it is not in the split."""
        try:
            return self.table.rows[image_id]
        except KeyError:
            raise DataError(f"{self.table.source}: there is no image {image_id} in {self.split}.") from None

    def file_name(self, image_id: int) -> str:
        return self.table.file_names[self.position(image_id)]

    def image(self, image_id: int) -> np.ndarray:
        """uint8 RGB [H, W, 3]."""
        return self.image_at(self.position(image_id))

    def segment_map(self, image_id: int) -> np.ndarray:
        """int32 [H, W] of segment ids, 0 = void."""
        return self.segment_map_at(self.position(image_id))

    def segments(self, image_id: int) -> tuple[Segment, ...]:
        """All segments of the image, crowd regions too."""
        return self.table.segments(self.position(image_id))

    def image_size(self, image_id: int) -> tuple[int, int]:
        """Height and width in pixels, as the JSON says."""
        height, width = self.table.sizes[self.position(image_id)].tolist()
        return height, width

    def sizes(self) -> np.ndarray:
        """int32 [images, 2]: height and width of all images, as the JSON says."""
        return self.table.sizes

    def segment_counts(self) -> np.ndarray:
        """Number of segments of each image, without crowd regions."""
        usable = np.append(0, np.cumsum(~self.table.crowd))
        return np.diff(usable[self.table.offsets])

    def held_out(self) -> dict[int, frozenset[int]]:
        """The content of held_out.json, if it exists."""
        return read_held_out(self.root / "held_out.json", self.split)

    def instances(self, report: Report) -> Instances | None:
        """The objects of instances_{split}.json, if it exists."""
        path = self.annotations / f"instances_{self.split}.json"
        return read_instances(path, report) if path.exists() else None

    def probes(self) -> list[Probe]:
        """The probes of probes_{split}.json."""
        return labelled_probes(self)

    def form_probes(self) -> list[Probe]:
        """The probes of probes_{split}_forms.json."""
        return form_probes(self)

    def hard_negatives(self) -> list[HardNegatives]:
        """The cases of hard_negatives_{split}.json, if it exists."""
        has_file = (self.annotations / f"hard_negatives_{self.split}.json").exists()
        return read_hard_negatives(self) if has_file else []

    @classmethod
    def check_root(cls, root: Path) -> None:
        annotations_folder(root)

    @classmethod
    def check(cls, root: Path, split: str | None = None) -> CheckReport:
        from find.data.check import check_folder  # which reads folders with this class

        return check_folder(root, split)

    def image_at(self, position: int) -> np.ndarray:
        """uint8 RGB [H, W, 3]; FindError if the file is missing, broken, or of another size than the JSON says."""
        data = self.images.read(self.table.file_names[position])
        name = self._image_name(position)
        try:
            pixels = decode_photo(data, name)
        except FindError as error:
            fix = "Put the original file back, or take the image out of the annotations."
            raise DataError(f"{error}. {fix}") from error
        return self._of_listed_size(pixels, position, name, data)

    def segment_map_at(self, position: int) -> np.ndarray:
        """int32 [H, W]; FindError if the PNG is missing, broken, or has ids that segments_info does not list."""
        name = self._map_name(position)
        data = self.maps.read(self.table.map_names[position])
        segment_map = decode_segment_map(data, name)
        unlisted = unlisted_ids(segment_map, self.table.segment_ids[self.table.span(position)])
        if len(unlisted):
            raise DataError(
                f"{name}: the PNG holds segment ids that segments_info of image {self.table.image_ids[position]} in "
                f"{self.table.source} does not list: {', '.join(map(str, unlisted[:5]))}"
                f"{' ...' if len(unlisted) > 5 else ''}{colour_hint(data)}. "
                "Take PNG and JSON from the same release, or write both again."
            )
        return self._of_listed_size(segment_map, position, name)

    def _of_listed_size(self, pixels: np.ndarray, position: int, name: str, photo: bytes = b"") -> np.ndarray:
        own, listed = pixels.shape[:2], tuple(self.table.sizes[position].tolist())
        if own != listed:
            what, fix = wrong_size(own, listed, self.table.source, photo)
            raise DataError(f"{name}: {what} for image {self.table.image_ids[position]}. {fix}.")
        return pixels

    def _read_sentences(self, split: str, entities: str | None) -> tuple[Sentence, ...]:
        if entities is None:
            return ()
        stem = f"entity_{split}" if entities == AUTO else entities.removesuffix(".json")
        path = self.annotations / f"{stem}.json"
        if entities == AUTO and not path.exists():
            return ()
        return tuple(read_sentences(path, self.table, self._refuse_or_skip))

    @cached_property
    def foils(self) -> dict[int, tuple[Foil, ...]]:
        """Labelled false sentences by the id of the true one, for the sentences of entity_{split}.json."""
        return read_foils(self) if self._entities in (AUTO, f"entity_{self.split}", f"entity_{self.split}.json") else {}

    def _refuse_or_skip(self, issue: DatasetIssue) -> None:
        if issue.stops:
            raise DataError(f"{self.annotations / issue.file}{str(issue).removeprefix(issue.file)}")
        self.skipped[issue.kind] += 1

    def _image_name(self, position: int) -> str:
        return str(self.images.path / self.images.own(self.table.file_names[position]))

    def _map_name(self, position: int) -> str:
        return str(self.maps.path / self.maps.own(self.table.map_names[position]))


def annotations_folder(root: Path) -> Path:
    """root/annotations; FindError if `root` is not a data set."""
    folder = root / "annotations"
    if not root.is_dir():
        raise DataError(
            f"{root}: there is no such folder. Give the folder that holds annotations/ and the images; `findvl data "
            "import EXPORT NEW` makes one of an annotation tool's export, `findvl data prepare coco FOLDER` of COCO."
        )
    if not folder.is_dir():
        raise DataError(
            f"{root}: there is no folder annotations/ in it. Give the folder that holds annotations/; for an "
            f"annotation tool's export `findvl data import {root} NEW` makes one, for COCO's zip files "
            f"`findvl data prepare coco {root}` makes it."
        )
    return folder


def open_images(root: Path, split: str) -> FileSource:
    """The photographs of a split, from root/{split}/ or root/{split}.zip."""
    return open_source((root / split, root / f"{split}.zip"), f"the images of {split}")


def open_maps(root: Path, split: str) -> FileSource:
    """The panoptic PNGs of a split: a folder or zip beside the images or in annotations/, or COCO's zip of zips."""
    name = f"panoptic_{split}"
    places = [folder / form for folder in (root, root / "annotations") for form in (name, f"{name}.zip")]
    archives = sorted(root.glob("panoptic_annotations_*.zip"))
    return open_source(places, f"the panoptic PNGs of {split}", within=archives)


def read_captions(path: Path, table: PanopticTable, report: Report) -> dict[int, tuple[str, ...]]:
    """Image id -> its captions, in the order of the file; empty captions and ones of unknown images are reported."""
    captions: dict[int, list[str]] = defaultdict(list)
    for number, record in enumerate(read_document(path, CaptionDocument, report).annotations):
        caption = record.caption.strip()
        if record.image_id in table.rows and has_words(caption):
            captions[record.image_id].append(caption)
            continue
        item = f"caption {number if record.id is None else record.id} of image {record.image_id}"
        if not has_words(caption):
            report(
                DatasetIssue(Severity.WARNING, "empty caption", path.name, item, "the caption has no words",
                        "Write it, or take it out")
            )  # fmt: skip
        else:
            report(
                DatasetIssue(Severity.WARNING, "caption of unknown image", path.name, item,
                        f"image {record.image_id} is not in {table.source}", "Take the caption out")
            )  # fmt: skip
    return {image_id: tuple(texts) for image_id, texts in captions.items()}
