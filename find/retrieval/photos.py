"""Photographs and videos on their way into an album: found below a folder, and read ahead in threads."""

from __future__ import annotations

import hashlib
import io
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from find.errors import FindError, InputError
from find.images.images import read_image, read_time
from find.retrieval.table import Photo

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".mpg", ".mpeg"})
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
BATCH_PIXELS = 100_000_000
"""Pixels that are embedded together at most (300 MB), however many images that is."""


@dataclass(frozen=True)
class PhotoFile:
    """A file that may be indexed, as the folder shows it: no more than a look at it costs."""

    file: Path
    path: str
    bytes: int
    modified: datetime

    @property
    def is_video(self) -> bool:
        return self.file.suffix.lower() in VIDEO_SUFFIXES

    @classmethod
    def at(cls, file: Path, root: Path) -> PhotoFile:
        status = file.stat()
        modified = EPOCH + timedelta(microseconds=status.st_mtime_ns // 1000)  # whole numbers: a float would round
        return cls(file, file.relative_to(root).as_posix(), status.st_size, modified)


@dataclass(frozen=True)
class Skipped:
    """A file that could not be embedded, and why."""

    path: Path
    reason: str

    @classmethod
    def because(cls, file: Path, error: Exception) -> Skipped:
        reason = " ".join(str(error).split()) or type(error).__name__
        return cls(file, reason.removeprefix(f"{file}: "))


@dataclass(frozen=True)
class Picture:
    """Pixels, and what their row tells of them."""

    photo: Photo
    pixels: UInt8[np.ndarray, "h w 3"]


@dataclass(frozen=True)
class PhotoFolder:
    """What an album is to hold.

    Attributes:
        root: the folder that the album's paths start from.
        files: the images and videos, by path.
        scope: the part of the root that `files` is all of, as a prefix of paths ("" for the whole root); None where
            they are some files only.
        unlisted: sub-folders that could not be looked into.
    """

    root: Path
    files: tuple[PhotoFile, ...]
    scope: str | None
    unlisted: tuple[Skipped, ...] = ()


def find_files(
    photos: str | os.PathLike[str] | Sequence[str | os.PathLike[str]], *, root: Path | None = None
) -> PhotoFolder:
    """The images and videos of a folder with its sub-folders, or those files themselves.

    Args:
        root: where paths start; the folder itself, or the files' common folder, if not given. Hidden files and folders
            (whose name starts with a dot) are passed over.

    Raises:
        FindError: no such folder or file, nothing to index in it, or it lies outside the root.
    """
    unlisted: list[Skipped] = []
    if not isinstance(photos, (str, os.PathLike)):
        files = [Path(photo) for photo in photos]
        if not files:
            raise InputError("an album needs at least one image, the list of files is empty")
        folder = Path(os.path.commonpath([file.resolve().parent for file in files]))
        scope = None
    elif Path(photos).is_file():
        files, folder, scope = [Path(photos)], Path(photos).resolve().parent, None
    else:
        folder = Path(photos)
        if not folder.exists():
            raise InputError(f"{folder}: no such folder of photos")
        suffixes = IMAGE_SUFFIXES | VIDEO_SUFFIXES
        names = (file for file in _walk(folder, unlisted) if file.suffix.lower() in suffixes)
        files = sorted(file for file in names if file.is_file())
        if not files and unlisted:
            raise InputError(f"{unlisted[0].path}: {unlisted[0].reason}")
        if not files:
            raise InputError(f"{folder}: no image in this folder (looked for {', '.join(sorted(suffixes))})")
        scope = ""
    folder = folder.resolve()
    root = root or folder
    if not folder.is_relative_to(root):
        raise InputError(f"{folder}: this lies outside of {root}, the album's folder of photos; make another album")
    if scope is not None and folder != root:
        scope = folder.relative_to(root).as_posix() + "/"
    found = {}  # a file that is named twice is one
    for file in files:
        if not file.exists():
            raise InputError(f"{file}: no such image file (looked in {file.parent.resolve()})")
        place = file.parent.resolve() / file.name
        found[place] = PhotoFile.at(place, root)
    return PhotoFolder(root, tuple(found.values()), scope, tuple(unlisted))


def read_ahead(files: Sequence[PhotoFile], batch_size: int, workers: int) -> Iterator[list[Picture | Skipped]]:
    """Batches of photographs, read in threads while the last batch is embedded; those that cannot be read as Skipped.

    A batch is shorter where its images are large, and so many fewer are read ahead (`BATCH_PIXELS`).
    """
    batch: list[Picture | Skipped] = []
    pixels = seen = seen_pixels = 0
    with ThreadPoolExecutor(workers, thread_name_prefix="read") as pool:
        waiting: deque[Future[Picture | Skipped]] = deque()
        rest = iter(files)
        try:
            while True:
                # A few more than one batch, so that threads have work while the model has its own.
                batch_of_such = min(batch_size, BATCH_PIXELS * seen // max(seen_pixels, 1))
                while len(waiting) < batch_of_such + workers and (file := next(rest, None)) is not None:
                    waiting.append(pool.submit(read_photo, file))
                if not waiting:
                    break
                picture = waiting.popleft().result()
                size = picture.pixels.shape[0] * picture.pixels.shape[1] if isinstance(picture, Picture) else 0
                seen, seen_pixels = seen + 1, seen_pixels + size
                if batch and (len(batch) == batch_size or pixels + size > BATCH_PIXELS):
                    yield batch
                    batch, pixels = [], 0
                batch.append(picture)
                pixels += size
        finally:
            for future in waiting:
                future.cancel()
    if batch:
        yield batch


def read_photo(file: PhotoFile) -> Picture | Skipped:
    """The pixels of a photograph and its facts, from one reading of the file."""
    try:
        file.path.encode()
    except UnicodeEncodeError:
        return Skipped(file.file, "its name is not valid Unicode; rename it")
    try:
        data = file.file.read_bytes()
        pixels = read_image(io.BytesIO(data), name=str(file.file))
        photo = Photo(
            path=file.path,
            bytes=file.bytes,
            modified=file.modified,
            digest=hashlib.blake2b(data, digest_size=16).digest(),
            time=read_time(io.BytesIO(data)),
        )
        return Picture(photo, pixels)
    except (FindError, OSError, MemoryError) as error:
        return Skipped.because(file.file, error)


def _walk(folder: Path, unlisted: list[Skipped]) -> Iterator[Path]:
    def told(error: OSError) -> None:
        unlisted.append(Skipped(Path(error.filename).resolve(), f"this folder cannot be listed ({error.strerror})"))

    for place, folders, names in os.walk(folder, onerror=told):
        folders[:] = [name for name in folders if not name.startswith(".") and not name.endswith(".lance")]
        yield from (Path(place, name) for name in names if not name.startswith("."))
