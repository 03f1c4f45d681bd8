"""Text features on disk: immutable files that are written atomically and read by memory mapping."""

from __future__ import annotations

import itertools
import os
import time
import uuid
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt64
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

SUFFIX = ".safetensors"
UNFINISHED = ".unfinished"
DIGEST_BYTES = 16
STALE_AFTER = 24 * 3600
"""Seconds after which an unfinished file is assumed to belong to a dead process."""


@dataclass(frozen=True)
class StoredText:
    """Features of one text, on the CPU."""

    tokens: Float[Tensor, "t d"]
    pooled: Float[Tensor, " p"] | None

    @property
    def nbytes(self) -> int:
        return self.tokens.nbytes + (0 if self.pooled is None else self.pooled.nbytes)


class TextStore:
    """Text features by 16-byte digests, in a folder that any number of processes can read and extend concurrently.

    Each process buffers its additions and writes them to a file of its own, which is renamed when complete: files are
    complete or absent, even if a process dies, and never change. Texts added by two processes are stored twice. A
    reader sees the files that existed when it opened the folder, and its own additions.

    Args:
        folder: created if missing. The keys or the folder's name must include everything that the features depend on.
        limit: maximum size of the folder in bytes; additions beyond it are dropped and counted in `left_out`.
        flush_at: bytes that are buffered before they are written, and lost if the process dies.
    """

    def __init__(self, folder: str | Path, *, limit: int | None = None, flush_at: int = 64 * 2**20) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.limit = limit
        self.flush_at = flush_at
        self.left_out = 0
        self._pending: dict[bytes, StoredText] = {}
        self._pending_bytes = 0
        for file in self.folder.glob(f"*{UNFINISHED}"):
            if time.time() - file.stat().st_mtime > STALE_AFTER:
                file.unlink(missing_ok=True)
        opened = (_File.open(path) for path in sorted(self.folder.glob(f"*{SUFFIX}")))
        self._files = [file for file in opened if file is not None]
        self._index()

    def __len__(self) -> int:
        return len(self._keys) + len(self._pending)

    @property
    def nbytes(self) -> int:
        """Size of the files and of the buffer."""
        return sum(file.nbytes for file in self._files) + self._pending_bytes

    def get(self, digests: Sequence[bytes]) -> list[StoredText | None]:
        """The features of each text, in order; None for a missing text."""
        places = self._find(digests).tolist() if len(digests) else []
        return [
            self._pending.get(digest) if place < 0 else self._files[self._file_of[place]].read(int(self._row_of[place]))
            for digest, place in zip(digests, places, strict=True)
        ]

    def add(self, digest: bytes, text: StoredText) -> None:
        if digest in self._pending:
            return
        if self.limit is not None and self.nbytes + text.nbytes > self.limit:
            self.left_out += 1
            return
        self._pending[digest] = text
        self._pending_bytes += text.nbytes
        if self._pending_bytes >= self.flush_at:
            self.flush()

    def flush(self) -> None:
        """Writes the buffered additions."""
        if not self._pending:
            return
        texts = list(self._pending.values())
        tensors = {
            "digests": torch.frombuffer(bytearray(b"".join(self._pending)), dtype=torch.uint8),
            "lengths": torch.tensor([len(text.tokens) for text in texts]),
            "tokens": torch.cat([text.tokens for text in texts]),
        }
        if texts[0].pooled is not None:
            tensors["pooled"] = torch.stack([text.pooled for text in texts])
        path = self.folder / f"{uuid.uuid4().hex}{SUFFIX}"
        unfinished = path.with_suffix(UNFINISHED)
        save_file(tensors, unfinished)
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        unfinished.replace(path)
        self._files.append(_File.open(path))
        self._pending.clear()
        self._pending_bytes = 0
        self._index()

    def _index(self) -> None:
        """The location of each text, sorted by the first half of its digest."""
        counts = [len(file.lengths) for file in self._files]
        digests = np.concatenate([np.zeros((0, 2), np.uint64), *(file.digests for file in self._files)])
        files = np.repeat(np.arange(len(counts)), counts)
        rows = np.concatenate([np.zeros(0, int), *(np.arange(count) for count in counts)])
        _, first = np.unique(digests[:, 0], return_index=True)  # sorted and unique
        self._keys, self._checks = digests[first, 0], digests[first, 1]
        self._file_of, self._row_of = files[first], rows[first]

    def _find(self, digests: Sequence[bytes]) -> np.ndarray:
        wanted = _halves(b"".join(digests))
        if not len(self._keys):
            return np.full(len(wanted), -1)
        place = np.searchsorted(self._keys, wanted[:, 0]).clip(max=len(self._keys) - 1)
        found = (self._keys[place] == wanted[:, 0]) & (self._checks[place] == wanted[:, 1])
        return np.where(found, place, -1)


class _File:
    """One file of a store, with the concatenated tokens of its texts."""

    def __init__(self, path: Path) -> None:
        self.nbytes = path.stat().st_size
        self._open = safe_open(path, framework="pt")
        self.digests: UInt64[np.ndarray, "n 2"] = _halves(self._open.get_tensor("digests").numpy().tobytes())
        self.lengths = self._open.get_tensor("lengths").tolist()
        self._ends = list(itertools.accumulate(self.lengths))
        self._tokens = self._open.get_slice("tokens")
        self._pooled = self._open.get_slice("pooled") if "pooled" in self._open.keys() else None  # noqa: SIM118

    @classmethod
    def open(cls, path: Path) -> _File | None:
        """None for a file that cannot be read, with a warning: after a full disk or a power failure."""
        try:
            return cls(path)
        except (SafetensorError, OSError) as error:
            warnings.warn(f"{path} of the text cache is damaged ({error}) and is ignored; delete it", stacklevel=3)
            return None

    def read(self, row: int) -> StoredText:
        end = self._ends[row]
        pooled = None if self._pooled is None else self._pooled[row : row + 1][0]
        return StoredText(self._tokens[end - self.lengths[row] : end], pooled)


def _halves(digests: bytes) -> UInt64[np.ndarray, "n 2"]:
    return np.frombuffer(digests, np.uint64).reshape(-1, 2)
