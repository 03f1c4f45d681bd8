"""Every anomaly of a data folder with its file, item and mend: what `findvl data check` prints."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from find.data.coco import annotations_folder, open_images, open_maps, read_captions
from find.data.dataset_issue import Anomaly, Report, Severity
from find.data.decode import decode_segment_map
from find.data.find_bench import read_expressions, read_sentences
from find.data.panoptic import PanopticTable, locate, unlisted_ids
from find.data.records import malformed, read_json, whole_number
from find.data.sample import Segment
from find.data.source import FileSource
from find.errors import FindError
from find.images.images import read_image

error = partial(Anomaly, Severity.ERROR)
warning = partial(Anomaly, Severity.WARNING)

SMALLEST_SIDE = 32
SENTENCE_FILES = ("entity_{}*.json", "interleave_{}*.json")


@dataclass(frozen=True)
class CheckReport:
    """What was read and what is wrong with it.

    `checked` counts images, segments, captions, sentences, phrases and expressions, over all splits.
    """

    root: str
    splits: tuple[str, ...]
    checked: Counter[str]
    anomalies: tuple[Anomaly, ...]

    @property
    def counts(self) -> Counter[str]:
        """Anomalies by kind."""
        return Counter(anomaly.kind for anomaly in self.anomalies)

    @property
    def errors(self) -> int:
        return sum(anomaly.severity is Severity.ERROR for anomaly in self.anomalies)

    @property
    def warnings(self) -> int:
        return len(self.anomalies) - self.errors

    @property
    def has_errors(self) -> bool:
        return self.errors > 0

    def to_json(self) -> dict[str, Any]:
        return {
            "root": self.root,
            "splits": list(self.splits),
            "checked": dict(self.checked),
            "errors": self.errors,
            "warnings": self.warnings,
            "counts": dict(self.counts),
            "anomalies": [{**asdict(anomaly), "severity": anomaly.severity.value} for anomaly in self.anomalies],
        }

    def to_text(self) -> str:
        """One line an anomaly, then the counts."""
        lines = [f"{anomaly.severity.value}: {anomaly.kind}: {anomaly}" for anomaly in self.anomalies]
        lines += [f"{count:>7}  {kind}" for kind, count in self.counts.most_common()]
        return "\n".join([*lines, self.summary()])

    def summary(self) -> str:
        """What was checked and how many errors and warnings there are."""
        checked = ", ".join(f"{count} {what}" for what, count in self.checked.items())
        return f"{self.root} ({', '.join(self.splits)}): {checked or 'nothing'}; {self.errors} errors, " + (
            f"{self.warnings} warnings"
        )

    def render(self) -> Group:
        """The same as `to_text` for a rich console."""
        colors = {Severity.ERROR: "red", Severity.WARNING: "yellow"}
        lines: list[Any] = []
        for anomaly in self.anomalies:
            mark = f"[{colors[anomaly.severity]}]{anomaly.severity.value}[/]"
            lines.append(Text.from_markup(f"{mark} [bold]{escape(anomaly.kind)}[/] {escape(str(anomaly))}"))
        if self.anomalies:
            table = Table("count", "kind")
            for kind, count in self.counts.most_common():
                table.add_row(str(count), kind)
            lines.append(table)
        return Group(*lines, Text(self.summary(), style="red" if self.errors else "green"))


def check_folder(root: str | Path, split: str | None = None) -> CheckReport:
    """Reads every file of a folder and lists what is wrong; never stops at the first fault.

    Args:
        root: the folder that holds annotations/ and the images (see `CocoFolder`).
        split: only this one; None for every split that has a panoptic_{split}.json.

    Raises:
        FindError: there is no such folder, it has no annotations/, or no split is in it.
    """
    root = Path(root)
    annotations = annotations_folder(root)
    found = sorted(path.stem.removeprefix("panoptic_") for path in annotations.glob("panoptic_*.json"))
    splits = found if split is None else [split]
    if not splits:
        raise FindError(f"{annotations}: there is no panoptic_SPLIT.json. Give the folder of a COCO panoptic data set.")
    anomalies: list[Anomaly] = []
    checked: Counter[str] = Counter()
    for name in splits:
        _SplitCheck(root, name, anomalies.append, checked).run()
    return CheckReport(str(root), tuple(splits), checked, tuple(anomalies))


class _SplitCheck:
    """The checks of one split; each tells `report` what it finds and goes on."""

    def __init__(self, root: Path, split: str, report: Report, checked: Counter[str]) -> None:
        self.root = root
        self.annotations = root / "annotations"
        self.split = split
        self.report = report
        self.checked = checked

    def run(self) -> None:
        path = self.annotations / f"panoptic_{self.split}.json"
        try:
            table = PanopticTable.read(path, self.report)
        except FindError as problem:
            self._cannot_read(path.name, problem)
            return
        self.checked.update(images=len(table.image_ids), segments=len(table.segment_ids))
        self._pixels(table)
        self._captions(table)
        self._instances(table)
        for pattern in SENTENCE_FILES:
            for file in sorted(self.annotations.glob(pattern.format(self.split))):
                self._sentences(file, table)
        self._expressions(table)

    def _pixels(self, table: PanopticTable) -> None:
        sources: list[FileSource | None] = []
        for opener, what in ((open_images, "images"), (open_maps, "panoptic PNGs")):
            try:
                sources.append(opener(self.root, self.split))
            except FindError as problem:
                self._cannot_read(f"{what} of {self.split}", problem)
                sources.append(None)
        images, maps = sources
        for row in range(len(table.image_ids)):
            if images is not None:
                self._image(table, row, images)
            if maps is not None:
                self._map(table, row, maps)
        for source, names in ((images, table.file_names), (maps, table.map_names)):
            if source is None:
                continue
            for name in sorted(set(source.names()) - set(names)):
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
            pixels = read_image(io.BytesIO(images.read(table.file_names[row])), name=name)
        except FindError as problem:
            self._cannot_read(name, problem, item)
            return
        self._same_size(pixels, table, row, name)

    def _map(self, table: PanopticTable, row: int, maps: FileSource) -> None:
        name, item = f"{maps.path.name}/{table.map_names[row]}", f"image {table.image_ids[row]}"
        try:
            segment_map = decode_segment_map(maps.read(table.map_names[row]), name)
        except FindError as problem:
            self._cannot_read(name, problem, item)
            return
        self._same_size(segment_map, table, row, name)
        span = table.span(row)
        for id in unlisted_ids(segment_map, table.segment_ids[span]).tolist():
            self.report(
                error("PNG id not in segments_info", name, f"{item}, segment {id}",
                      f"{int((segment_map == id).sum())} pixels have an id that the JSON does not list",
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
        if any(abs(said - true) > 1 for said, true in zip(segment.bbox, box, strict=True)):  # COCO rounds its boxes
            self.report(
                warning("wrong box", name, item, f"the JSON says {segment.bbox}, the pixels lie in {box}",
                        "Correct the bbox (x, y, width, height)")
            )  # fmt: skip

    def _same_size(self, pixels: np.ndarray, table: PanopticTable, row: int, name: str) -> None:
        height, width = table.sizes[row].tolist()
        if pixels.shape[:2] != (height, width):
            self.report(
                error("wrong size", name, f"image {table.image_ids[row]}",
                      f"the file is {pixels.shape[1]} x {pixels.shape[0]} but {table.source} says {width} x {height}",
                      "Put the original file back, or correct the JSON", stops=True)
            )  # fmt: skip

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
                warning("image without caption", path.name, f"image {image_id}", "no caption speaks of it", "Write one")
            )

    def _instances(self, table: PanopticTable) -> None:
        path = self.annotations / f"instances_{self.split}.json"
        if not path.exists():
            return
        try:
            data = read_json(path, "annotations", "categories")
        except FindError as problem:
            self._cannot_read(path.name, problem)
            return
        names = {category.id: category.name for category in table.categories}
        for category in data["categories"]:
            id, name = category.get("id"), category.get("name")
            if names.get(id) != name:
                self.report(
                    error("categories differ", path.name, f"category {id}",
                          f'it is "{name}" here but {names.get(id)!r} in {table.source}', "Use one list of categories")
                )  # fmt: skip
        for annotation in data["annotations"]:
            item = f"instance {annotation.get('id')} of image {annotation.get('image_id')}"
            try:
                known = whole_number(annotation["image_id"]) in table.rows
            except (KeyError, ValueError) as problem:
                self.report(malformed(path.name, item, problem))
                continue
            if not known:
                self.report(
                    warning("instance of unknown image", path.name, item, f"the image is not in {table.source}",
                            "Take the instance out")
                )  # fmt: skip
            elif annotation.get("category_id") not in names:
                self.report(
                    error("unknown category", path.name, item,
                          f"category {annotation.get('category_id')} is not in {table.source}", "Correct the category")
                )  # fmt: skip

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
        message, _, mend = str(problem).removeprefix(f"{file}: ").rstrip(".").partition(". ")
        mend = mend or "Put a good file in its place"
        self.report(error("unreadable file", file, item or self.split, message, mend, stops=True))
