"""Digests of files that are read in blocks, so that they may be larger than the memory."""

import hashlib
from pathlib import Path
from typing import Protocol

BLOCK = 1 << 20


class Hash(Protocol):
    """An object of `hashlib`."""

    def update(self, data: bytes, /) -> None: ...

    def digest(self) -> bytes: ...

    def hexdigest(self) -> str: ...


def read_into(value: Hash, file: Path) -> Hash:
    """Updates a hash with the bytes of a file (as `hashlib.file_digest` does from Python 3.11 on)."""
    with file.open("rb") as stream:
        while block := stream.read(BLOCK):
            value.update(block)
    return value


def sha256(file: Path) -> str:
    """The hexadecimal SHA-256 of a file."""
    return read_into(hashlib.sha256(), file).hexdigest()
