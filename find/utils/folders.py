"""Whether a name that a user gives is a folder's."""

from __future__ import annotations

from pathlib import Path


def existing_folder(name: str) -> Path | None:
    """The folder of this name, with ~ for a home; None where there is none, or none can be called so."""
    try:
        folder = Path(name).expanduser()
        return folder if folder.is_dir() else None
    except (OSError, RuntimeError, ValueError):  # too long, an unknown user's home, a null byte
        return None
