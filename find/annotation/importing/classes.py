"""Class names for the numbers and colours of class maps, read from the lists that people and tools write."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from find.annotation.importing.files import Files
from find.errors import DataError

LISTS = ("classes.txt", "class_names.txt", "labels.txt", "names.txt", "label_names.txt")
MAPS = ("classes.json", "labels.json", "class_names.json", "id2label.json")
COLOURS = "labelmap.txt"
BACKGROUND = {"background", "_background_", "bg", "void", "unlabeled", "unlabelled", "ignore", "__ignore__", "none"}
VOID = 255
"""Value of undecided pixels in maps of class numbers."""
COLOUR = 1 << 24
"""Added to the number of a colour, so that it is distinct from all class numbers."""


@dataclass(frozen=True)
class Classes:
    """Names of the values of a map; `note` says where they come from."""

    names: Mapping[int, str]
    note: str
    is_colour: bool = False

    def name(self, value: int) -> str | None:
        """None for the background and for undecided pixels."""
        name = self.names.get(value)
        if name is not None:
            return None if name.lower() in BACKGROUND else name
        if value == 0 or value == VOID:
            return None
        if value >= COLOUR:
            red, green, blue = (value - COLOUR).to_bytes(3, "little")
            return f"colour {red:02x}{green:02x}{blue:02x}"
        return f"class {value}"


def read_classes(files: Files) -> Classes:
    """Reads labelmap.txt, classes.txt, classes.json or similar; without one, classes are named by their numbers.

    A list without a background starts at 1, because 0 is the background of maps.
    """
    for path in files.paths:
        name = path.rpartition("/")[2].lower()
        if name == COLOURS:
            return Classes(_colours(files, path), f"colours are named in {path}", is_colour=True)
        if name in LISTS:
            names = _list(files[path].read_text(encoding="utf-8", errors="replace").splitlines())
            return Classes(names, f"{path}: {_first_names(names)}")
        if name in MAPS:
            names = _json(files, path)
            return Classes(names, f"{path}: {_first_names(names)}")
    unnamed = (
        "there are no class names, so classes are named by number or colour; add a classes.txt with one name per line"
    )
    return Classes({}, unnamed)


def _first_names(names: Mapping[int, str]) -> str:
    shown = [f"{number} {name}" for number, name in sorted(names.items())]
    return ", ".join(shown[:8]) + (f" and {len(shown) - 8} more" if len(shown) > 8 else "")


def _list(lines: list[str]) -> dict[int, str]:
    names = [line.strip() for line in lines if line.strip()]
    first = names[0].lower() if names else ""
    start = -1 if first == "__ignore__" else 0 if first in BACKGROUND else 1
    return dict(enumerate(names, start=start))


def _json(files: Files, path: str) -> dict[int, str]:
    try:
        found = json.loads(files[path].read_text(encoding="utf-8-sig"))
        if isinstance(found, list):
            return _list([str(name) for name in found])
        if all(isinstance(value, int) for value in found.values()):  # name -> number
            return {value: name for name, value in found.items()}
        return {int(number): str(name) for number, name in found.items()}
    except (ValueError, AttributeError, TypeError) as error:
        raise DataError(f'{files[path]}: expected class names by number, {{"1": "dog"}} ({error})') from error


def _colours(files: Files, path: str) -> dict[int, str]:
    """Lines of name:red,green,blue::, as CVAT writes them."""
    names: dict[int, str] = {}
    for line in files[path].read_text(encoding="utf-8", errors="replace").splitlines():
        found = re.match(r"(.+?):(\d{1,3}),(\d{1,3}),(\d{1,3})(?::|$)", line.strip())
        if found and not line.startswith("#"):
            red, green, blue = (int(part) for part in found.groups()[1:])
            number = red + 256 * green + 65536 * blue
            grey = red == green == blue
            names[red if grey else number + COLOUR] = found[1]
    return names
