"""`findvl data check`: every issue of a data folder, with file, item and fix."""

from __future__ import annotations

import io
import warnings
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

from find.data.check_instances import check_instances, check_masks
from find.data.check_report import CheckReport
from find.data.coco import CocoFolder, annotations_folder, open_images, open_maps, read_captions
from find.data.data_split import kinds_text
from find.data.dataset_issue import DatasetIssue, Report, Severity
from find.data.decode import colour_hint, decode_segment_map
from find.data.false_sentences import FORMS, form_probes, labelled_probes, read_hard_negatives
from find.data.find_bench import read_expressions, read_sentences
from find.data.instances import Instances, read_instances
from find.data.panoptic import PanopticTable
from find.data.sample import Segment
from find.data.segment_map import locate, unlisted_ids
from find.data.sizes import wrong_size
from find.data.source import FileSource
from find.errors import DataError, FindError, printable
from find.images.images import read_image

error = partial(DatasetIssue, Severity.ERROR)
warning = partial(DatasetIssue, Severity.WARNING)

SMALLEST_SIDE = 32
SENTENCE_FILES = ("entity_{}*.json", "interleave_{}*.json")


def check_folder(root: str | Path, split: str | None = None) -> CheckReport:
    """Reads every file of a folder and lists all issues; does not stop at the first.

    Args:
        root: the folder that holds annotations/ and the images (see `CocoFolder`).
        split: check only this split; None for all with a panoptic_{split}.json or an instances_{split}.json.

    Raises:
        FindError: there is no such folder, it has no annotations/, or no split is in it.
    """
    root = Path(root)
    annotations = annotations_folder(root)
    found = {
        path.stem.removeprefix(prefix)
        for prefix in ("panoptic_", "instances_")
        for path in annotations.glob(f"{prefix}*.json")
    }
    splits = sorted(found) if split is None else [split]
    if not splits:
        raise DataError(f"{annotations}: there is no panoptic_SPLIT.json. Give the folder of a COCO panoptic data set.")
    issues: list[DatasetIssue] = []
    checked: Counter[str] = Counter()
    outcomes = []
    for name in splits:
        check = _SplitCheck(root, name, checked)
        check.run()
        issues += check.issues
        outcomes.append(f"{name} is {check.outcome()}")
    return CheckReport(str(root), tuple(splits), checked, tuple(issues), tuple(outcomes))


class _SplitCheck:
    """The checks of one split; each reports its issues and continues."""

    def __init__(self, root: Path, split: str, checked: Counter[str]) -> None:
        self.root = root
        self.annotations = root / "annotations"
        self.split = split
        self.checked = checked
        self.issues: list[DatasetIssue] = []
        self.report: Report = self.issues.append
        self.pictures: list[DatasetIssue] = []  # of the image files and the maps
        self.left_out: set[str] = set()  # segments with broken JSON entries, which are reported already
        self.alone = False
        self.folder: CocoFolder | FindError

    def run(self) -> None:
        path = self.annotations / f"panoptic_{self.split}.json"
        instances = self._read_instances()
        if instances is not None and not path.exists():
            self._instances_alone(instances, path)
            return
        try:
            table = PanopticTable.read(path, self.report)
        except FindError as problem:
            self._cannot_read(path.name, problem)
            self.folder = problem
            return
        self.checked.update(images=len(table.image_ids), segments=len(table.segment_ids))
        self.left_out = {one.item for one in self.issues if one.file == table.source}
        before = len(self.issues)
        self._pixels(table)
        self.pictures = self.issues[before:]
        self._captions(table)
        if instances is not None:
            check_instances(instances, table, self.report)
        for pattern in SENTENCE_FILES:
            for file in sorted(self.annotations.glob(pattern.format(self.split))):
                self._sentences(file, table)
        self._expressions(table)
        self.folder = self._read_as_training_does()

    def outcome(self) -> str:
        """How training and evaluation will treat the split, according to the reader itself."""
        if self.alone:
            return "refused, until it has panoptic annotations"
        if isinstance(self.folder, FindError):
            return f"refused ({printable(' '.join(str(self.folder).split()))})"
        broken = next((one for one in self.issues if one.stops and one.file in self._files_of_false()), None)
        if broken is not None:
            return f"refused, as soon as a sample is read ({broken})"
        skipped = self.folder.skipped
        picture = next((one for one in self.pictures if one.stops), None)
        if picture is not None:
            return f"refused, as soon as one of these pictures is read ({picture})"
        outcome = f"read; left out or doubtful: {kinds_text(skipped)}" if skipped else "read"
        file = f"instances_{self.split}.json"
        broken = next((one for one in self.issues if one.stops and one.file == file), None)
        return f"{outcome}; its AP is refused ({broken})" if broken is not None else outcome

    def _read_as_training_does(self) -> CocoFolder | FindError:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                folder = CocoFolder(self.root, self.split)
        except FindError as problem:
            return problem
        files = (*self._files_of_false(), f"probes_{self.split}{FORMS}.json")
        for file, read in zip(files, (labelled_probes, read_hard_negatives, form_probes), strict=True):
            if not (self.annotations / file).exists():
                continue
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                try:
                    read(folder)
                except FindError as problem:
                    self._cannot_read(file, problem)
            for one in dict.fromkeys(str(warned.message) for warned in caught):
                if one.startswith(file):
                    self.report(warning("doubtful false sentence", file, self.split, one.rstrip("."), "Look at it"))
        return folder

    def _files_of_false(self) -> tuple[str, str]:
        return f"probes_{self.split}.json", f"hard_negatives_{self.split}.json"

    def _pixels(self, table: PanopticTable) -> None:
        images = self._opened(open_images, "images", table.file_names)
        maps = self._opened(open_maps, "panoptic PNGs", table.map_names)
        for row in range(len(table.image_ids)):
            if images is not None:
                self._image(table, row, images)
            if maps is not None:
                self._map(table, row, maps)
        self._unlisted(images, table.file_names)
        self._unlisted(maps, table.map_names)

    def _opened(
        self, opener: Callable[[Path, str], FileSource], what: str, names: tuple[str, ...]
    ) -> FileSource | None:
        try:
            source = opener(self.root, self.split)
        except FindError as problem:
            self._cannot_read(f"{what} of {self.split}", problem)
            return None
        source.match(names)
        return source

    def _unlisted(self, source: FileSource | None, listed: tuple[str, ...]) -> None:
        if source is not None:
            for name in sorted(set(source.names()) - set(map(source.own, listed))):
                self.report(
                    warning("file without annotation", source.path.name, name, "the panoptic JSON does not list it",
                            "Take the file away, or annotate it")
                )  # fmt: skip

    def _image(self, table: PanopticTable, row: int, images: FileSource) -> None:
        name, item = f"{images.path.name}/{table.file_names[row]}", f"image {table.image_ids[row]}"
        height, width = table.sizes[row].tolist()
        if min(height, width) < SMALLEST_SIDE:
            self.report(
                warning("small image", name, item, f"{width} x {height} pixels are smaller than the usual stride "
                        f"{SMALLEST_SIDE} of a vision encoder", "Let the data module resize it")
            )  # fmt: skip
        try:
            data = images.read(table.file_names[row])
            pixels = read_image(io.BytesIO(data), name=name)
        except FindError as problem:
            self._cannot_read(name, problem, item)
            return
        self._same_size(pixels.shape[:2], table, row, name, data)

    def _map(self, table: PanopticTable, row: int, maps: FileSource) -> None:
        name, item = f"{maps.path.name}/{table.map_names[row]}", f"image {table.image_ids[row]}"
        try:
            data = maps.read(table.map_names[row])
            segment_map = decode_segment_map(data, name)
        except FindError as problem:
            self._cannot_read(name, problem, item)
            return
        self._same_size(segment_map.shape, table, row, name)
        span = table.span(row)
        unlisted = [
            id
            for id in unlisted_ids(segment_map, table.segment_ids[span]).tolist()
            if f"{item}, segment {id}" not in self.left_out
        ]
        hint = colour_hint(data) if unlisted else ""
        for id in unlisted:
            self.report(
                error("PNG id not in segments_info", name, f"{item}, segment {id}",
                      f"{int((segment_map == id).sum())} pixels have an id that the JSON does not list{hint}",
                      "Take PNG and JSON from the same release, or write both again", stops=True)
            )  # fmt: skip
        found = locate(segment_map, table.segment_ids[span])
        measured = zip(found.areas, found.boxes, strict=True)
        for segment, (area, box) in zip(table.segments(row), measured, strict=True):
            self._segment(segment, area, box, name, f"{item}, segment {segment.id}")

    def _segment(self, segment: Segment, area: int, box: tuple[int, ...], name: str, item: str) -> None:
        if not area:
            self.report(
                error("segment without pixels", name, item, "segments_info lists it, but no pixel has its id",
                      "Take it out of segments_info, or write the PNG again")
            )  # fmt: skip
            return
        if area != segment.area:
            self.report(
                warning("wrong area", name, item, f"the JSON says {segment.area} pixels, the PNG has {area}",
                        "Correct the area")
            )  # fmt: skip
        if any(abs(said - true) > 1 for said, true in zip(segment.bbox, box, strict=True)):  # COCO's boxes are rounded
            self.report(
                warning("wrong box", name, item, f"the JSON says {segment.bbox}, the pixels lie in {box}",
                        "Correct the bbox (x, y, width, height)")
            )  # fmt: skip

    def _same_size(self, own: tuple[int, int], table: PanopticTable, row: int, name: str, photo: bytes = b"") -> None:
        listed = tuple(table.sizes[row].tolist())
        if own != listed:
            what, fix = wrong_size(own, listed, table.source, photo)
            self.report(error("wrong size", name, f"image {table.image_ids[row]}", what, fix, stops=True))

    def _captions(self, table: PanopticTable) -> None:
        path = self.annotations / f"captions_{self.split}.json"
        if not path.exists():
            self._missing(path.name, "captions", "retrieval by caption")
            return
        try:
            captions = read_captions(path, table, self.report)
        except FindError as problem:
            self._cannot_read(path.name, problem)
            return
        self.checked["captions"] += sum(map(len, captions.values()))
        for image_id in sorted(set(table.image_ids) - set(captions)):
            self.report(
                warning("image without caption", path.name, f"image {image_id}", "it has no caption", "Write one")
            )

    def _read_instances(self) -> Instances | None:
        path = self.annotations / f"instances_{self.split}.json"
        if not path.exists():
            return None
        try:
            return read_instances(path, self.report)
        except FindError as problem:
            self._cannot_read(path.name, problem)
            return None

    def _instances_alone(self, instances: Instances, panoptic: Path) -> None:
        self.alone = True
        self.report(
            warning("no panoptic annotations", panoptic.name, self.split, "the file is not there",
                    f"`findvl bench build {self.root} --split {self.split}` makes it of the instances")
        )  # fmt: skip
        table = PanopticTable.of_images(instances.images.values(), instances.source, self.report)
        self.checked.update(images=len(table.image_ids), objects=len(instances.objects))
        images = self._opened(open_images, "images", table.file_names)
        if images is not None:
            for row in range(len(table.image_ids)):
                self._image(table, row, images)
            self._unlisted(images, table.file_names)
        check_masks(instances, table, self.report)

    def _sentences(self, path: Path, table: PanopticTable) -> None:
        try:
            sentences = read_sentences(path, table, self.report)
        except FindError as problem:
            self._cannot_read(path.name, problem)
            return
        self.checked.update(sentences=len(sentences), phrases=sum(len(one.phrases) for one in sentences))
        for sentence in sentences:
            for phrase in sentence.phrases:
                if phrase.reference is None:
                    continue
                there = table.category_of(phrase.reference.image_id, phrase.reference.segment_id)
                here = {table.category_of(sentence.image_id, id) for id in phrase.segment_ids}
                if there not in here:
                    self.report(
                        warning("reference of another category", path.name,
                                f'sentence {sentence.id} of image {sentence.image_id}, "{phrase.text}"',
                                f"the reference is a {table.categories[there].words}", "Choose another reference")
                    )  # fmt: skip

    def _expressions(self, table: PanopticTable) -> None:
        path = self.annotations / f"referring_{self.split}.json"
        if not path.exists():
            return
        try:
            self.checked["expressions"] += len(read_expressions(path, table, self.report))
        except FindError as problem:
            self._cannot_read(path.name, problem)

    def _missing(self, file: str, what: str, use: str) -> None:
        self.report(
            warning(f"no {what}", file, self.split, "the file is not there", f"Add it if you want {use}")
        )  # fmt: skip

    def _cannot_read(self, file: str, problem: FindError, item: str | None = None) -> None:
        message, _, fix = str(problem).removeprefix(f"{file}: ").rstrip(".").partition(". ")
        fix = fix or "Put a good file in its place"
        self.report(error("unreadable file", file, item or self.split, message, fix, stops=True))
