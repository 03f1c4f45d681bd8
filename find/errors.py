"""The one error that users of FIND meet for bad input, which names the file, the item and the mend; and a warning."""


class FindError(ValueError):
    """Bad input, told in one sentence that names what is wrong, where, and how to mend it."""


class UnknownWordsWarning(UserWarning):
    """A text holds words that the language encoder has never seen, so what is found by it is guessed from the rest."""
