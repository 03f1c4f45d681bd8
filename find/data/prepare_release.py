"""The files of a published data set, and a table of which exist, with commands to download the rest."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from find.errors import DataError


@dataclass(frozen=True)
class Download:
    """A published file: its path below the root, its URL, and its size and checksum.

    `size` is in bytes; None if the publisher does not state it.
    """

    name: str
    url: str
    size: int | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class SplitRelease:
    """The files of one split: archives of pictures and of annotation files."""

    split: str
    pictures: int
    images: Download
    maps: Download
    panoptic: AnnotationFile
    annotations: tuple[AnnotationFile, ...]
    sentences: tuple[SentenceFile, ...]


@dataclass(frozen=True)
class AnnotationFile:
    """A JSON file in an archive, with the expected number of `unit` in its list of annotations."""

    name: str
    count: int
    unit: str
    archive: Download


@dataclass(frozen=True)
class SentenceFile:
    """A FIND-Bench file; `referring` is the file derived from it, with references for phrases."""

    name: str
    download: Download
    referring: str | None = None


@dataclass(frozen=True)
class Release:
    """A published data set."""

    name: str
    splits: tuple[SplitRelease, ...]

    def of(self, splits: Iterable[str] | None) -> tuple[SplitRelease, ...]:
        """The given splits, or all. Raises FindError for an unknown one."""
        known = {one.split: one for one in self.splits}
        for name in splits or ():
            if name not in known:
                raise DataError(f"{self.name} has no split {name!r}; it has {', '.join(known)}")
        return tuple(known[name] for name in splits or known)


class State(str, Enum):
    """The state of a part. `MADE`: it was derived from other files in this run."""

    READY = "ready"
    MADE = "made"
    MISSING = "missing"
    BROKEN = "broken"


@dataclass(frozen=True)
class Part:
    """A row of the table."""

    state: State
    name: str
    found: str

    @property
    def is_usable(self) -> bool:
        return self.state in (State.READY, State.MADE)


@dataclass(frozen=True)
class Preparation:
    """The existing parts of a release below `root`; `fetch` lists the missing downloads."""

    root: Path
    release: str
    parts: tuple[Part, ...]
    fetch: tuple[Download, ...]

    @property
    def is_complete(self) -> bool:
        return all(part.is_usable for part in self.parts)

    def to_json(self) -> dict[str, Any]:
        return {
            "root": str(self.root),
            "release": self.release,
            "complete": self.is_complete,
            "parts": [{**asdict(part), "state": part.state.value} for part in self.parts],
            "fetch": [asdict(download) for download in self.fetch],
        }

    def to_text(self) -> str:
        """The table, and the commands that download missing files."""
        wide = max(len(part.name) for part in self.parts)
        lines = [f"{self.release} in {self.root}", "", f"  {'state':7}  {'part':{wide}}  what is there"]
        lines += [f"  {part.state.value:7}  {part.name:{wide}}  {part.found}" for part in self.parts]
        if not self.fetch:
            return "\n".join(lines)
        there = next(folder for folder in [self.root.absolute(), *self.root.absolute().parents] if folder.is_dir())
        size = sum(download.size or 0 for download in self.fetch)
        more = " and some of a size that is not published" if any(one.size is None for one in self.fetch) else ""
        free = shutil.disk_usage(there).free
        lines += ["", f"to be fetched ({gigabytes(size)}{more}; {gigabytes(free)} are free):", ""]
        lines += [f"  {self._command(download)}" for download in self.fetch]
        return "\n".join(lines)

    def _command(self, download: Download) -> str:
        """Resumes a file that is too short; a damaged one of the right size is downloaded again."""
        path = self.root / download.name
        size = path.stat().st_size if path.is_file() else 0
        resume_at = "-C - " if download.size is not None and size < download.size else ""
        return f"curl -L --fail {resume_at}--create-dirs -o {path} {download.url}"


def gigabytes(size: int) -> str:
    """A size in decimal units, as used by publishers."""
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:.3g} {unit}"
    return f"{size} bytes"
