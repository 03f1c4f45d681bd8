"""Prepares a published data set: what exists, what can be derived from it, and what must be downloaded."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

from find.data.coco import open_images, open_maps
from find.data.dataset_issue import DatasetIssue, raise_if_it_stops
from find.data.find_bench import read_sentences
from find.data.panoptic import PanopticTable
from find.data.prepare_references import add_references
from find.data.prepare_release import (
    AnnotationFile,
    Download,
    Part,
    Preparation,
    Release,
    SentenceFile,
    SplitRelease,
    State,
    gigabytes,
)
from find.data.records import read_json
from find.data.source import ZIP_ERRORS, FileSource, FolderSource, find_inside, visible_name
from find.errors import DataError, FindError
from find.utils.digests import sha256

BLOCK = 1 << 24


def prepare(
    root: str | Path,
    release: Release,
    *,
    splits: Iterable[str] | None = None,
    checksums: bool = False,
    tell: Callable[[str], object] = lambda text: None,
) -> Preparation:
    """Checks the existing files, and creates in root/annotations what can be derived from them; downloads nothing.

    Pictures stay in their archives. JSON files are unpacked, since each is read completely.

    Args:
        splits: only these splits.
        checksums: also compare the SHA-256 of archives, which reads all their bytes.
        tell: called with a description before every long operation.
    """
    return _Preparer(Path(root), release, checksums, tell).run(splits)


class _Preparer:
    def __init__(self, root: Path, release: Release, checksums: bool, tell: Callable[[str], object]) -> None:
        self.root = root
        self.release = release
        self.checksums = checksums
        self.tell = tell
        self.parts: list[Part] = []
        self.fetch: dict[Download, None] = {}
        self.problems: dict[Download, tuple[State, str] | None] = {}

    def run(self, splits: Iterable[str] | None) -> Preparation:
        for split in self.release.of(splits):
            table = self._panoptic(split)
            unpacked = self._unpack_maps(split)
            self._pictures(f"images of {split.split}", open_images, split, split.images, table and table.file_names)
            self._pictures(
                f"panoptic PNGs of {split.split}", open_maps, split, split.maps, table and table.map_names, unpacked
            )
            for file in split.annotations:
                self._annotations(file)
            for sentences in split.sentences:
                self._sentences(sentences, table)
        return Preparation(self.root, self.release.name, tuple(self.parts), tuple(self.fetch))

    # --- annotation files -----------------------------------------------------------------------------------------

    def _panoptic(self, split: SplitRelease) -> PanopticTable | None:
        """Reports panoptic_{split}.json and returns its contents."""
        file = split.panoptic
        path, state = self._unpacked(file)
        if path is None:
            return None
        try:
            table = PanopticTable.read(path, raise_if_it_stops)
        except FindError as error:
            self._broken(path, error, file.archive)
            return None
        text = f"{len(table.image_ids):,} images, {len(table.segment_ids):,} segments"
        self._counted(path, state, len(table.image_ids), file, text)
        return table

    def _annotations(self, file: AnnotationFile) -> None:
        path, state = self._unpacked(file)
        if path is None:
            return
        try:
            count = len(read_json(path, "annotations")["annotations"])
        except FindError as error:
            self._broken(path, error, file.archive)
            return
        self._counted(path, state, count, file, f"{count:,} {file.unit}")

    def _counted(self, path: Path, state: State, count: int, file: AnnotationFile, text: str) -> None:
        if count != file.count:
            text = f"{count:,} {file.unit}, but the release has {file.count:,}: delete it to have it unpacked again"
            self._row(State.BROKEN, path, text)
            self._archive(file.archive)
        else:
            self._row(state, path, text + (f", unpacked from {file.archive.name}" if state is State.MADE else ""))

    def _unpacked(self, file: AnnotationFile) -> tuple[Path | None, State]:
        """The JSON file, unpacked if necessary; None, and a row, if that is impossible."""
        path = self.root / "annotations" / file.name
        if path.is_file():
            return path, State.READY
        problem = self._archive(file.archive)
        if problem is None:
            try:
                self._unpack(file.archive, path)
                return path, State.MADE
            except FindError as error:
                problem = State.BROKEN, str(error)
                self.fetch[file.archive] = None
        self._row(problem[0], path, problem[1])
        return None, problem[0]

    def _unpack(self, archive: Download, path: Path) -> None:
        """Unpacks to a temporary name, and renames when complete."""
        source = self.root / archive.name
        member = find_inside(source, path.name)
        if member is None:
            raise DataError(f"{archive.name} holds no {path.name}")
        self.tell(f"unpacking {path} ({gigabytes(member.file_size)})")
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(path.name + ".part")
        try:
            with zipfile.ZipFile(source) as opened, opened.open(member) as packed, open(unfinished, "wb") as out:
                shutil.copyfileobj(packed, out, BLOCK)
        except ZIP_ERRORS as error:
            unfinished.unlink(missing_ok=True)
            raise DataError(f"{archive.name}: {path.name} in it is damaged ({error})") from error
        unfinished.replace(path)

    def _sentences(self, file: SentenceFile, table: PanopticTable | None) -> None:
        path = self.root / "annotations" / file.name
        if not path.is_file():
            self.fetch[file.download] = None
            self._row(State.MISSING, path, "not there")
            return
        if table is None:
            self._row(State.READY, path, f"{gigabytes(path.stat().st_size)}, to be checked by the panoptic JSON")
            return
        doubts: list[DatasetIssue] = []
        try:
            sentences = read_sentences(path, table, doubts.append)
        except FindError as error:
            self._broken(path, error, file.download)
            return
        stops = [doubt for doubt in doubts if doubt.stops]
        if stops:
            self._row(State.BROKEN, path, str(stops[0]))
            self.fetch[file.download] = None
            return
        phrases = [phrase for sentence in sentences for phrase in sentence.phrases]
        text = f"{len(sentences):,} sentences, {len(phrases):,} phrases"
        if doubts:
            text += f"; {len(doubts):,} faults, which `findvl data check {self.root}` lists"
        self._row(State.READY, path, text)
        if file.referring is not None:
            self._referring(path, path.with_name(file.referring), table)

    def _referring(self, path: Path, made: Path, table: PanopticTable) -> None:
        state = State.READY
        if not made.is_file():
            self.tell(f"writing {made}")
            add_references(path, made, table)
            state = State.MADE
        doubts: list[DatasetIssue] = []
        try:
            found = read_sentences(made, table, doubts.append)
        except FindError as error:
            self._row(State.BROKEN, made, f"{error} Delete it to have it made again.")
            return
        phrases = [phrase for sentence in found for phrase in sentence.phrases]
        referring = sum(phrase.reference is not None for phrase in phrases)
        text = f"{referring:,} of {len(phrases):,} phrases refer to another image's segment"
        self._row(state, made, text + (f", chosen here for {path.name}" if state is State.MADE else ""))

    # --- pictures -------------------------------------------------------------------------------------------------

    def _pictures(
        self,
        name: str,
        open_them: Callable[[Path, str], FileSource],
        split: SplitRelease,
        download: Download,
        listed: tuple[str, ...] | None,
        unpacked: bool = False,
    ) -> None:
        try:
            source = open_them(self.root, split.split)
        except FindError as error:
            problem = self._archive(download) or (State.BROKEN, str(error))
            self._row(*(problem[0], name, problem[1]))
            return
        is_folder = isinstance(source, FolderSource)
        archive = self.root / download.name
        if not is_folder and archive in (source.path, *source.path.parents) and (problem := self._archive(download)):
            self._row(problem[0], name, problem[1])
            return
        names = set(source.names())
        source.match(listed or ())
        absent = sorted(name for name in listed or () if name not in source)
        if absent or len(names) < split.pictures:
            count = len(absent) or split.pictures - len(names)
            example = f", such as {absent[0]}" if absent else ""
            text = f"{source.path.relative_to(self.root)}: {count:,} of {split.pictures:,} files are not in it{example}"
            if not is_folder:
                self.fetch[download] = None
            elif self._archive(download) is None:
                text += f"; delete the folder, and {download.name} is read in place"
            self._row(State.BROKEN, name, text)
            return
        where = str(source.path.relative_to(self.root)) + ("/" if is_folder else "")
        size = f", {gigabytes(archive.stat().st_size)}" if source.path == archive else ""
        how = ", unpacked from " + download.name if unpacked else "" if is_folder else ", read in place"
        self._row(State.MADE if unpacked else State.READY, name, f"{where}: {len(names):,} files{size}{how}")

    def _unpack_maps(self, split: SplitRelease) -> bool:
        """A compressed zip of PNGs inside another zip cannot be read in place: it is unpacked beside its JSON."""
        name = f"panoptic_{split.split}.zip"
        places = [folder / form for folder in (self.root, self.root / "annotations") for form in (name, name[:-4])]
        if any(place.exists() for place in places) or self._archive(split.maps) is not None:
            return False
        member = find_inside(self.root / split.maps.name, name)
        if member is None or member.compress_type == zipfile.ZIP_STORED:
            return False
        try:
            self._unpack(split.maps, self.root / "annotations" / name)
        except FindError as error:
            self.problems[split.maps] = State.BROKEN, str(error)
            return False
        return True

    # --- archives -------------------------------------------------------------------------------------------------

    def _archive(self, download: Download) -> tuple[State, str] | None:
        """The problem of an archive, which must then be downloaded again; checked once."""
        if download not in self.problems:
            self.problems[download] = self._look_at(download)
        if self.problems[download] is not None:
            self.fetch[download] = None
        return self.problems[download]

    def _look_at(self, download: Download) -> tuple[State, str] | None:
        path = self.root / download.name
        if not path.is_file():
            return State.MISSING, f"no {download.name}"
        size = path.stat().st_size
        if download.size is not None and size < download.size:
            return State.BROKEN, f"{download.name} is truncated: {size:,} of {download.size:,} bytes"
        if download.size is not None and size > download.size:
            return State.BROKEN, f"{download.name} is another file: {size:,} bytes instead of {download.size:,}"
        try:
            with zipfile.ZipFile(path) as archive:
                empty = not any(visible_name(member) for member in archive.infolist())
        except (OSError, *ZIP_ERRORS) as error:
            return State.BROKEN, f"{download.name} is not a readable zip file ({error})"
        if empty:
            return State.BROKEN, f"{download.name} is an empty zip file"
        if self.checksums and download.sha256 is not None:
            self.tell(f"reading {path} for its checksum ({gigabytes(size)})")
            digest = sha256(path)
            if digest != download.sha256:
                text = f"{download.name} is damaged: its SHA-256 begins {digest[:12]}, not {download.sha256[:12]}"
                return State.BROKEN, text
        return None

    # --- rows -----------------------------------------------------------------------------------------------------

    def _broken(self, path: Path, error: FindError, download: Download) -> None:
        text = str(error).removeprefix(f"{path}: ")
        self._row(State.BROKEN, path, f"{text} Delete the file, and run this again." if text else "")
        if download.name.endswith(".zip"):
            self._archive(download)
        else:
            self.fetch[download] = None

    def _row(self, state: State, name: str | Path, found: str) -> None:
        text = str(name.relative_to(self.root)) if isinstance(name, Path) else name
        self.parts.append(Part(state, text, " ".join(found.split())))
