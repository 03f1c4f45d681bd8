"""Finds the photos and videos of a folder, and reads them ahead in threads."""

from __future__ import annotations

import builtins
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
from find.images.formats import MACOS_NOTE, NONE, PICTURE_SUFFIXES, VIDEO_SUFFIXES, Format, Medium, format_of_file
from find.images.images import read_image, read_time
from find.images.metadata import NOTHING, PhotoMetadata, read_metadata
from find.retrieval.connection import check_photos

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
BATCH_PIXELS = 100_000_000
"""Maximum number of pixels per batch (300 MB), regardless of the number of images."""
OF_SYSTEMS = frozenset({"@eaDir", "#recycle", "@Recycle", "$RECYCLE.BIN", "System Volume Information", "__MACOSX"})
"""Folders of thumbnails and deleted files, which network drives, Windows and zip files of macOS put among photos."""
IN_ICLOUD = Format(Medium.UNREADABLE, "this photo is in iCloud only; download it")


@dataclass(frozen=True)
class Photo:
    """Metadata of a photo file or of a video frame, as stored in its row.

    Attributes:
        path: of the file below the folder of photos, with forward slashes.
        bytes, modified, digest: of the file; the time in UTC, 16 bytes of BLAKE2b.
        time: when it was taken by the camera's clock (EXIF, or the start time of a video plus `seconds`), if known.
        frame: frame number in a video; 0 for a photo.
        seconds: time since the start of the video; None for a photo.
        metadata: of the photograph, from its file.
    """

    path: str
    bytes: int
    modified: datetime
    digest: builtins.bytes
    time: datetime | None = None
    frame: int = 0
    seconds: float | None = None
    metadata: PhotoMetadata = NOTHING


@dataclass(frozen=True)
class PhotoFile:
    """A file to index, with the metadata that is cheap to read."""

    file: Path
    path: str
    bytes: int
    modified: datetime
    is_video: bool = False

    @classmethod
    def at(cls, file: Path, root: Path) -> PhotoFile:
        return cls.of(file, root, is_video=format_of_file(file).medium is Medium.VIDEO)

    @classmethod
    def of(cls, file: Path, root: Path, *, is_video: bool) -> PhotoFile:
        """A file whose kind is already known."""
        status = file.stat()
        modified = EPOCH + timedelta(microseconds=status.st_mtime_ns // 1000)  # integers, because a float would round
        return cls(file, file.relative_to(root).as_posix(), status.st_size, modified, is_video)


@dataclass(frozen=True)
class Skipped:
    """A file that could not be embedded, and why."""

    path: Path
    reason: str

    @classmethod
    def because(cls, file: Path, error: Exception) -> Skipped:
        """A skipped file, with an exception's message as the reason, on one line."""
        reason = " ".join(str(error).split()) or type(error).__name__
        return cls(file, reason.removeprefix(f"{file}: "))


@dataclass(frozen=True)
class Picture:
    """Pixels with their metadata."""

    photo: Photo
    pixels: UInt8[np.ndarray, "h w 3"]


@dataclass(frozen=True)
class PhotoFolder:
    """The files that an album should contain.

    Attributes:
        root: the folder that paths in the album are relative to.
        files: the images and videos, by path.
        scope: the part of the root that `files` lists completely, as a path prefix ("" for the whole root); None if
            they are single files.
        unlisted: sub-folders that could not be listed.
        refused: media files that cannot be read, with reasons.
        others: number of files that are not media.
        hidden: number of files and folders skipped because their names start with a dot, or are a system's own.
    """

    root: Path
    files: tuple[PhotoFile, ...]
    scope: str | None
    unlisted: tuple[Skipped, ...] = ()
    refused: tuple[Skipped, ...] = ()
    others: int = 0
    hidden: int = 0


def find_files(
    photos: str | os.PathLike[str] | Sequence[str | os.PathLike[str]], *, root: Path | None = None
) -> PhotoFolder:
    """The images and videos of a folder and its sub-folders, or the given files, recognised by content.

    Args:
        root: where paths start; the folder itself, or the files' common folder, if not given. Hidden files and folders
            (whose name starts with a dot) are passed over.

    Raises:
        FindError: no such folder or file, nothing to index in it, or it lies outside the root.
    """
    walk, scope = _Walk(), None
    if not isinstance(photos, (str, os.PathLike)):
        named = [Path(photo) for photo in photos]
        if not named:
            raise InputError("an album needs at least one image, the list of files is empty")
        folder = Path(os.path.commonpath([file.resolve().parent for file in named]))
    elif Path(photos).is_file():
        named, folder = [Path(photos)], Path(photos).resolve().parent
    else:
        named, folder, scope = None, Path(photos), ""
        if not folder.exists():
            raise InputError(f"{folder}: no such folder of photos")
    folder = folder.resolve()
    root = root or folder
    if not folder.is_relative_to(root):
        raise InputError(f"{folder}: this lies outside of {root}, the album's folder of photos; make another album")
    if scope is not None and folder != root:
        scope = folder.relative_to(root).as_posix() + "/"
    if named is None:
        walk.through(folder)
        walk.found = dict(sorted(walk.found.items()))
    for file in named or ():
        if not file.exists():
            raise InputError(f"{file}: no such image file (looked in {file.parent.resolve()})")
        walk.take(file.parent.resolve() / file.name, is_meant=True)
    problems = walk.unlisted + walk.refused
    if not walk.found and problems:
        more = f"; none of {len(problems)} files can be indexed" if len(problems) > 1 else ""
        raise InputError(f"{problems[0].path}: {problems[0].reason}{more}")
    if not walk.found:
        check_photos(folder)
        raise InputError(f"{folder}: no image or video in this folder ({counted(walk.others, walk.hidden)})")
    files = tuple(PhotoFile.of(file, root, is_video=is_video) for file, is_video in walk.found.items())
    return PhotoFolder(root, files, scope, tuple(walk.unlisted), tuple(walk.refused), walk.others, walk.hidden)


def counted(others: int, hidden: int) -> str:
    """The numbers of ignored files, in words."""
    summary = f"{others} other file{'' if others == 1 else 's'}"
    return f"{summary}, {hidden} hidden" if hidden else summary


class _Walk:
    """The media found below a folder, recognised by content.

    Attributes:
        found: the images and videos, and whether each is a video; a file listed twice counts once.
    """

    def __init__(self) -> None:
        self.found: dict[Path, bool] = {}
        self.unlisted: list[Skipped] = []
        self.refused: list[Skipped] = []
        self.others = self.hidden = 0

    def through(self, folder: Path) -> None:
        for place, folders, names in os.walk(folder, onerror=self._cannot_list):
            visible = [name for name in folders if not name.startswith(".") and name not in OF_SYSTEMS]
            self.hidden += len(folders) - len(visible)
            maps = [name for name in visible if _holds_maps(Path(place), name)]
            self.others += sum(len(inside) for name in maps for *_, inside in os.walk(Path(place, name)))
            folders[:] = [name for name in visible if not name.endswith(".lance") and name not in maps]
            for name in names:
                self.take(Path(place, name), is_meant=False)

    def take(self, file: Path, *, is_meant: bool) -> None:
        """Sorts a file by its kind; one that the user names is always tried."""
        is_hidden = file.name.startswith(".") and not is_meant
        may_tell = file.name.startswith("._") or file.suffix == ".icloud"
        kind = NONE if is_hidden and not may_tell else _look_at(file)
        if is_hidden and kind not in (MACOS_NOTE, IN_ICLOUD):
            self.hidden += 1
        elif kind.medium is Medium.UNREADABLE:
            self.refused.append(Skipped(file, kind.reason))
        elif kind.medium is Medium.NONE and not is_meant:
            self.others += 1
        else:
            self.found[file] = kind.medium is Medium.VIDEO

    def _cannot_list(self, error: OSError) -> None:
        place = Path(error.filename).resolve()
        self.unlisted.append(Skipped(place, f"this folder cannot be listed ({error.strerror})"))


def _holds_maps(place: Path, name: str) -> bool:
    """Whether a folder has the panoptic maps of a data set in COCO's layout: PNGs of segment numbers, no photos."""
    return name.startswith("panoptic_") and (place / "annotations" / f"{name}.json").is_file()


def _look_at(file: Path) -> Format:
    if file.name.startswith(".") and file.suffix == ".icloud":
        return IN_ICLOUD
    try:
        if file.is_file():  # not a pipe, which would block until there is a writer
            return format_of_file(file)
        reason = "a link to a file that is gone" if file.is_symlink() else "not a regular file"
    except OSError as error:
        reason = f"the file cannot be read ({error.strerror})"
        return Format(Medium.UNREADABLE, reason)
    is_named_so = file.suffix.lower() in PICTURE_SUFFIXES | VIDEO_SUFFIXES
    return Format(Medium.UNREADABLE, reason) if is_named_so else NONE


def read_ahead(files: Sequence[PhotoFile], batch_size: int, workers: int) -> Iterator[list[Picture | Skipped]]:
    """Batches of photos, read in threads while the previous batch is embedded; unreadable files appear as Skipped.

    Batches of large images are shorter, and fewer are read ahead (`BATCH_PIXELS`).
    """
    batch: list[Picture | Skipped] = []
    pixels = seen = seen_pixels = 0
    with ThreadPoolExecutor(workers, thread_name_prefix="read") as pool:
        waiting: deque[Future[Picture | Skipped]] = deque()
        rest = iter(files)
        try:
            while True:
                # A few more than one batch, so that the threads are busy while the model works.
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
    """The pixels and metadata of a photo, from a single read of the file."""
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
            metadata=read_metadata(io.BytesIO(data)),
        )
        return Picture(photo, pixels)
    except (FindError, OSError, MemoryError) as error:
        return Skipped.because(file.file, error)
