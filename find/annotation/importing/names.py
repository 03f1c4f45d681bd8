"""File names of pictures in the imported folder: their own, unless taken or not valid in JSON."""

from __future__ import annotations

from pathlib import Path


class Names:
    """The names of one split. Panoptic maps are named after their pictures, so no two names may differ only in case or
    suffix."""

    def __init__(self) -> None:
        self.taken: set[str] = set()

    def own(self, path: Path) -> tuple[str, bool]:
        """The new name of a picture, and whether it differs from its file's."""
        name = path.name.encode("utf-8", "replace").decode().replace("\\", "_")
        stem, suffix = Path(name).stem, Path(name).suffix
        candidates = [name, f"{path.parent.name}_{name}".encode("utf-8", "replace").decode()]
        candidates += [f"{stem}_{number}{suffix}" for number in range(2, len(self.taken) + 3)]
        chosen = next(one for one in candidates if Path(one).stem.lower() not in self.taken)
        self.taken.add(Path(chosen).stem.lower())
        return chosen, chosen != path.name
