"""Optional dependencies: which extra of findvl installs a package that is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from find.errors import FindError


@contextmanager
def extra(name: str, what: str) -> Iterator[None]:
    """For imports of optional packages: one that is missing is reported with the command that installs it.

    Args:
        name: the extra in pyproject.toml that installs the packages.
        what: what needs them, as the message's subject, such as `findvl index`.

    Raises:
        FindError: a package is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in ("", "find"):  # not an optional package, but a mistake in this one
            raise
        raise FindError(
            f"{what} needs {package}, which is not installed; install it with: pip install 'findvl[{name}]'"
        ) from error
