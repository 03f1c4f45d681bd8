"""HEIC and HEIF, the format of iPhones, by pillow-heif (`pip install 'findvl[heic]'`)."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec


@cache
def is_installed() -> bool:
    return find_spec("pillow_heif") is not None


@cache
def register() -> None:
    """Makes Pillow open HEIC; nothing without the library."""
    if is_installed():
        from pillow_heif import register_heif_opener

        register_heif_opener(thumbnails=False)
