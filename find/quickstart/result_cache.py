"""What a run of the main job may take from an earlier one: JSON records under a key that changes with their causes."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import find


def source_key(*parts: object, folder: str = ".") -> str:
    """A key that changes with `parts` and with any Python file in a folder of the package (all of it by default)."""
    return hashlib.sha256(repr(parts).encode() + _source(folder)).hexdigest()[:16]


@cache
def _source(folder: str) -> bytes:
    """Read once, because a process runs what it has imported, even if files change."""
    digest, package = hashlib.sha256(), Path(find.__file__).parent
    for file in sorted((package / folder).rglob("*.py")):
        digest.update(file.relative_to(package).as_posix().encode())
        digest.update(file.read_bytes())
    return digest.digest()


class ResultCache:
    """JSON files in one folder, each with the key of what it was made from.

    Args:
        folder: where they are; made when the first one is kept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, name: str, key: str) -> dict[str, Any] | None:
        """The record of that name, if it was kept under that key."""
        file = self.folder / f"{name}.json"
        if not file.is_file():
            return None
        try:
            kept = json.loads(file.read_text(encoding="utf-8"))
        except json.JSONDecodeError:  # a run was interrupted while it wrote
            return None
        return kept["record"] if kept.get("key") == key else None

    def keep(self, name: str, key: str, record: dict[str, Any]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"key": key, "record": record}, indent=1)
        (self.folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")
