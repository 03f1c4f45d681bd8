"""A cache of foundations' fingerprints, since those of large models take seconds to compute."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from find.foundations.base import HasState, fingerprint
from find.foundations.loading import EncoderSpec
from find.foundations.source import COMMIT
from find.utils.folders import existing_folder

JUST_WRITTEN = 2.0
"""Seconds: a file may be written once more within one tick of a coarse clock, and look the same."""
PACKAGES = ("findvl", "torch", "transformers", "open_clip_torch", "timm")


def cached_fingerprint(encoder: HasState, spec: str) -> str:
    """`fingerprint(encoder)` of an encoder that was just built from its spec, computed once for the same files.

    The key is the names, sizes and times of all files, or a commit of the hub; the value is a small file in the user's
    cache folder. Encoders with neither, such as seeded random weights, are not cached.
    """
    files = weight_files(spec)
    if files is None:
        return fingerprint(encoder)
    note = cache_folder() / _key(encoder, spec, files)
    with suppress(OSError, UnicodeDecodeError):
        kept = note.read_text(encoding="ascii")
        if re.fullmatch("[0-9a-f]{64}", kept):
            return kept
    computed = fingerprint(encoder)
    newest = max((stat.st_mtime for _, stat in files), default=0.0)
    if time.time() - newest > JUST_WRITTEN:
        with suppress(OSError):  # an unwritable cache only costs time
            note.parent.mkdir(parents=True, exist_ok=True)
            part = note.with_name(f"{note.name}.{os.getpid()}")
            part.write_text(computed, encoding="ascii")
            part.replace(note)
    return computed


def weight_files(spec: str) -> list[tuple[str, os.stat_result]] | None:
    """The files of a foundation's weights; an empty list for a commit of the hub, which never changes; None if the spec
    does not determine them.
    """
    parsed = EncoderSpec.parse(spec, blocks=True)
    if parsed.untrained:
        return None
    if parsed.library == "tiny":
        from find.foundations.tiny import FOLDER

        return list(_below(FOLDER))
    name = parsed.name.removeprefix("local-dir:")
    folder = existing_folder(name) if name else None
    if folder is not None:
        return list(_below(folder))
    _, _, revision = name.rpartition("@")
    return [] if COMMIT.fullmatch(revision) else None


def cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "findvl" / "fingerprints"


def _below(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    for file in sorted(folder.resolve().rglob("*")):
        if file.is_file():
            yield str(file), file.stat()


def _key(encoder: HasState, spec: str, files: list[tuple[str, os.stat_result]]) -> str:
    """The cache key: everything that the weights in memory depend on, with their names and shapes."""
    tensors = sorted((name, str(t.dtype), list(t.shape)) for name, t in encoder.state_dict().items())
    stamps = [(name, stat.st_size, stat.st_mtime_ns, stat.st_ino) for name, stat in files]
    about = [type(encoder).__qualname__, spec, [_version(name) for name in PACKAGES], tensors, stamps]
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
