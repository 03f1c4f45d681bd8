r"""The command-line form of a query: `a [dog.jpg@120,80] next to {a red sofa}`, with `\` as escape."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from types import NoneType

from find.errors import FindError, InputError, shown
from find.query.entity import Entity, Phrase, Region, format_numbers, format_points

BRACKETS = "\\{}[]"
ESCAPABLE = BRACKETS + "@#"
CLOSING = {"{": "}", "[": "]"}
MOST_CHARACTERS = 100_000
"""Of a query: no language encoder reads a tenth of that."""


@dataclass(frozen=True, slots=True)
class _Character:
    """One character of the query after escapes are resolved; special ones open, close or separate."""

    value: str
    position: int
    special: bool


def parse_parts(text: str, folder: str | os.PathLike[str] | None) -> list[str | Entity]:
    """The parts of a query in reading order; see `Query.parse`."""
    if not isinstance(text, str):
        raise InputError(f"a query is text, not {type(text).__name__}")
    if len(text) > MOST_CHARACTERS:
        raise InputError(f"the query has {len(text)} characters, more than {MOST_CHARACTERS}: {shown(text)}")
    characters = _resolve_escapes(text)
    parts: list[str | Entity] = []
    plain = ""
    index = 0
    while index < len(characters):
        character = characters[index]
        if not character.special or character.value in "@#":
            plain += character.value
            index += 1
            continue
        if plain:
            parts.append(plain)
            plain = ""
        end = _find_close(text, characters, index, len(parts) + 1)
        inside = characters[index + 1 : end]
        source = text[character.position : characters[end].position + 1]
        try:
            parts.append(_parse_region(inside, folder) if character.value == "[" else Phrase(_plain(inside)))
        except FindError as error:
            raise _error(len(parts) + 1, source, character.position, str(error)) from error
        index = end + 1
    return [*parts, plain] if plain else parts


def format_part(part: str | Entity, number: int) -> str:
    """Inverse of `parse_parts` for one part; `number` is its number in errors."""
    if isinstance(part, str):
        return _escape(part, BRACKETS)
    if isinstance(part, Phrase):
        return f"{{{_escape(part.text, BRACKETS)}}}"
    image, mask = part.image, part.mask
    if not isinstance(image, str) or not isinstance(mask, (str, NoneType)):
        raise _unwritable(part, number, "an image or mask in memory")
    if part.label is not None or part.shape in ("scribble", "polygon"):
        raise _unwritable(part, number, f"a {part.shape}" if part.label is None else "a label")
    path = _escape(image, ESCAPABLE)
    if mask is not None:
        return f"[{path}#{_escape(mask, ESCAPABLE)}]"
    return f"[{path}@{format_points(part.points) if part.points is not None else format_numbers(part.box or ())}]"


def _resolve_escapes(text: str) -> list[_Character]:
    characters = []
    position = 0
    while position < len(text):
        value = text[position]
        if value != "\\":
            characters.append(_Character(value, position, special=value in ESCAPABLE))
            position += 1
            continue
        escaped = text[position + 1 : position + 2]
        if not escaped or escaped not in ESCAPABLE:
            raise InputError(
                f"query {shown(text)}: the backslash at character {position + 1} escapes nothing; it goes before one "
                "of \\{}[]@#, and a backslash itself is written \\\\; paths may have / in its place"
            )
        characters.append(_Character(escaped, position, special=False))
        position += 2
    return characters


def _find_close(text: str, characters: Sequence[_Character], start: int, number: int) -> int:
    """Index of the character that closes the phrase or region opened at `start`."""
    opening = characters[start]
    if opening.value not in CLOSING:
        why = f"nothing is open here; write \\{opening.value} for the character itself"
        raise _error(number, opening.value, opening.position, why)
    kind = "phrase" if opening.value == "{" else "region"
    closing = CLOSING[opening.value]
    for index in range(start + 1, len(characters)):
        character = characters[index]
        if not character.special or character.value in "@#":
            continue
        if character.value == closing:
            return index
        source = text[opening.position : character.position + 1]
        why = f"{character.value!r} cannot stand inside a {kind}; write \\{character.value} for the character itself"
        raise _error(number, source, opening.position, why)
    why = f"this {kind} is never closed; add {closing!r}, or write \\{opening.value} for the character itself"
    raise _error(number, text[opening.position :], opening.position, why)


def _parse_region(inside: Sequence[_Character], folder: str | os.PathLike[str] | None) -> Region:
    separators = [index for index, character in enumerate(inside) if character.special]
    if not separators:
        raise InputError("it says no place in the image; add @x,y or @x0,y0,x1,y1 or #mask.png")
    if len(separators) > 1:
        raise InputError("it has more than one @ or #; write \\@ or \\# where they belong to a file's name")
    (middle,) = separators
    image = _resolve(_plain(inside[:middle]), folder)
    place = _plain(inside[middle + 1 :])
    if not image or not place.strip():
        raise InputError("a region is a path, then @x,y or @x0,y0,x1,y1 or #mask.png")
    if inside[middle].value == "#":
        return Region(image, mask=_resolve(place, folder))
    points = [_parse_numbers(point) for point in place.split(";")]
    if len(points) == 1 and len(points[0]) == 4:
        return Region(image, box=points[0])
    if any(len(point) != 2 for point in points):
        raise InputError(f"'@{place}' is neither a point x,y, nor points x,y;x,y, nor a box x0,y0,x1,y1")
    return Region(image, points=[(x, y) for x, y in points])


def _parse_numbers(text: str) -> list[float]:
    numbers = []
    for word in text.split(","):
        try:
            numbers.append(float(word))
        except ValueError:
            hint = "; write \\@ where the @ belongs to a file's name"
            raise InputError(f"{word.strip()!r} is not a number of pixels{hint}") from None
    return numbers


def _resolve(path: str, folder: str | os.PathLike[str] | None) -> str:
    return path if folder is None or not path else os.path.join(folder, path)


def _plain(characters: Sequence[_Character]) -> str:
    return "".join(character.value for character in characters)


def _escape(text: str, special: str) -> str:
    return "".join(f"\\{character}" if character in special else character for character in text)


def _unwritable(part: Region, number: int, why: str) -> InputError:
    return InputError(f"part {number} of the query, {part}: {why} cannot be written as text; use to_json")


def _error(number: int, source: str, position: int, why: str) -> FindError:
    return InputError(f"part {number} of the query, {shown(source)} at character {position + 1}: {why}")
