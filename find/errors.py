"""The one error that users of FIND meet for bad input, which names the file, the item and the mend; and a warning."""

import sys
import warnings


class FindError(ValueError):
    """Bad input, told in one sentence that names what is wrong, where, and how to mend it."""


class UnknownWordsWarning(UserWarning):
    """A text holds words that the language encoder has never seen, so what is found by it is guessed from the rest."""


def warn_caller(message: str, category: type[Warning] = UserWarning) -> None:
    """Warns at the line that called into this package, however deep in it, or in torch, the reason was seen."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] in ("find", "torch"):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
