"""Frames of a video file as pictures with a time, by PyAV (`pip install 'findvl[video]'`)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from find.errors import DataError, FindError
from find.images.images import LARGEST_IMAGE
from find.retrieval.photos import Photo, PhotoFile, Picture
from find.utils.digests import read_into
from find.utils.extras import extra

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer

SAME_SECONDS = 2e-3
"""Times closer than this are the same frame: frames are further apart, and albums store times in single precision."""
TIMES_BREAK = 512
"""FFmpeg's flag of formats without an index (AVFMT_TS_DISCONT: MPEG streams), in which seeking is unreliable."""


def read_video(file: PhotoFile, *, every: float) -> Iterator[Picture]:
    """The first frame of every interval of `every` seconds, upright, decoded one at a time.

    Raises:
        FindError: PyAV is not installed, or the file is damaged or not a video.
    """
    av = _library(file.file)
    try:
        digest = read_into(hashlib.blake2b(digest_size=16), file.file).digest()
        with av.open(str(file.file)) as container:
            if not container.streams.video:
                raise DataError(f"{file.file}: this file has no pictures, only sound")
            video = container.streams.video[0]
            if video.width * video.height > LARGEST_IMAGE:
                raise DataError(f"{file.file}: frames of {video.width}x{video.height} pixels are too large")
            video.thread_type = "AUTO"
            began = _start(container.metadata | video.metadata)
            following, first = 0.0, None
            for number, frame in enumerate(container.decode(video)):
                seconds = float(frame.time if frame.time is not None else number / (video.average_rate or Fraction(25)))
                first = seconds if first is None else first
                seconds -= first
                if seconds + 1e-6 < following:
                    continue
                following = (seconds // every + 1) * every
                photo = Photo(
                    path=file.path,
                    bytes=file.bytes,
                    modified=file.modified,
                    digest=digest,
                    time=began and began + timedelta(seconds=seconds),
                    frame=number,
                    seconds=seconds,
                )
                yield Picture(photo, _upright(frame))
    except (av.FFmpegError, OSError) as error:
        raise _broken(file.file, error) from error


def read_frame(file: Path, number: int, seconds: float) -> UInt8[np.ndarray, "H W 3"]:
    """One frame of a video, upright, by its number and its time as `read_video` gave them.

    Decodes from the preceding key frame, or from the start if the file has no times.

    Raises FindError as `read_video` does, or if the video is shorter.
    """
    av = _library(file)
    try:
        with suppress(av.FFmpegError), av.open(str(file)) as container:  # not every format supports seeking
            if number and (frame := _frame_at(container, seconds)) is not None:
                return _upright(frame)
        with av.open(str(file)) as container:
            for count, frame in enumerate(container.decode(video=0)):
                if count == number:
                    return _upright(frame)
    except (av.FFmpegError, OSError, IndexError) as error:
        raise _broken(file, error) from error
    raise DataError(f"{file}: this video has no frame {number} any more; run findvl index again")


def _frame_at(container: InputContainer, seconds: float) -> VideoFrame | None:
    """The frame `seconds` after the first one; None if the file does not support seeking, or has no such frame."""
    if container.format.flags & TIMES_BREAK:
        return None
    video = container.streams.video[0]
    first = next(container.decode(video), None)
    if first is None or first.time is None:
        return None
    wanted = float(first.time) + seconds
    container.seek(int(wanted / (video.time_base or 1)), stream=video)
    for frame in container.decode(video):
        if frame.time is not None and frame.time > wanted - SAME_SECONDS:
            return frame if frame.time < wanted + SAME_SECONDS else None
    return None


def _library(file: Path) -> ModuleType:
    with extra("video", f"the video {file}"):
        import av
    return av


def _upright(frame: VideoFrame) -> UInt8[np.ndarray, "H W 3"]:
    return np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90) % 4))


def _broken(file: Path, error: Exception) -> FindError:
    return DataError(f"{file}: not a video that can be read ({' '.join(str(error).split())})")


def _start(metadata: dict[str, str]) -> datetime | None:
    """When the recording began, according to the file (UTC by the format's standard, without a zone)."""
    try:
        return datetime.fromisoformat(metadata["creation_time"].replace("Z", "+00:00")).replace(tzinfo=None)
    except (KeyError, ValueError):
        return None
