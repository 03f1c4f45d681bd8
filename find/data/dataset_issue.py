"""One fault of a data set, worded the same by the reader (which stops or skips the item) and by `findvl data check`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from find.errors import DataError, FindError, printable


class Severity(str, Enum):
    """`ERROR`: something cannot be used. `WARNING`: usable, but worth a look."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True)
class DatasetIssue:
    """What is wrong, where, and how to fix it.

    `kind` groups faults for counting. `stops` says whether the reader refuses the data set because of it;
    otherwise it leaves the item out (or takes it as it is) and counts it.
    """

    severity: Severity
    kind: str
    file: str
    item: str
    message: str
    fix: str
    stops: bool = False

    def __str__(self) -> str:
        return printable(f"{self.file}, {self.item}: {self.message}. {self.fix}.")

    def error(self) -> FindError:
        return DataError(str(self))


Report: TypeAlias = Callable[[DatasetIssue], None]
"""Where a parser tells its issues; it may raise."""


def raise_if_it_stops(issue: DatasetIssue) -> None:
    """A report that refuses what a reader refuses, and lets pass what it leaves out."""
    if issue.stops:
        raise issue.error()
