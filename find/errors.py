"""The one error that users of FIND meet for bad input: a message that names the file, the item and the mend."""


class FindError(ValueError):
    """Bad input, told in one sentence that names what is wrong, where, and how to mend it."""
