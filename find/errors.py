"""The errors that users of FIND meet, each one sentence that names the file, the item and the fix; and a warning."""

import re
import sys
import warnings

UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Line ends, terminal control characters, changes of the reading direction, and surrogates, as which Python holds the
bytes of file names that are not UTF-8."""
SURROGATE = re.compile("[\ud800-\udfff]")


def printable(text: str) -> str:
    """The text on one line that any terminal shows as it is, with everything else escaped."""
    return UNPRINTABLE.sub(lambda found: found.group().encode("unicode_escape").decode(), text)


def shown(text: str, most: int = 80) -> str:
    """The text in quotes; of a long one, its beginning."""
    return repr(text) if len(text) <= most else f"{text[:most]!r}..."


class FindError(ValueError):
    """An error for users: one sentence that names the problem, its place and the fix.

    Raised itself where none of its subclasses fits: a library or a device is missing, memory or a peer is gone. A bare
    ValueError is a fault of the program that calls, not of its users.
    """


class InputError(FindError):
    """What a call or a command was given cannot be used: an argument, an option, a query, an image."""


class DataError(FindError):
    """Files of a data set, an album or of predictions are missing, damaged, or do not fit together."""


class CheckpointError(FindError):
    """A model's config, weights or foundations are missing, damaged, or do not fit together."""


class DivergenceError(FindError):
    """Training cannot continue: the forward pass or the loss produced NaN or Inf."""


def check_characters(text: str, what: str) -> None:
    """Raises InputError for a lone surrogate, which no tokenizer can encode: what Python makes of bytes that are not
    UTF-8."""
    found = SURROGATE.search(text)
    if found:
        raise InputError(
            f"{what}, {shown(text)}: {found.group()!a} at character {found.start() + 1} is a lone surrogate, "
            "which is not valid Unicode; give UTF-8 text"
        )


def check_counts(images: int, others: int, one: str, many: str) -> None:
    """Raises InputError where there is not one of the others for each image; `one` and `many` are their names."""
    if images != others:
        raise InputError(
            f"got {images} {'image' if images == 1 else 'images'} but {others} {one if others == 1 else many}; "
            "give one for each image"
        )


class UnknownWordsWarning(UserWarning):
    """A text has words that the language encoder does not know, so its results are a guess."""


def warn_caller(message: str, category: type[Warning] = UserWarning) -> None:
    """Warns at the line that called into this package, however deep in it, or in torch, the reason was seen."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] in ("find", "torch", "jaxtyping"):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
