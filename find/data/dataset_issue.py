"""An issue of a data set, with the same words in the reader (which stops or skips the item) and `findvl data check`."""

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

    `kind` groups issues for counting. `stops` says whether the reader rejects the data set because of it; otherwise it
    skips the item (or uses it unchanged) and counts it.
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
"""Receives the issues that a parser finds; may raise."""


def raise_if_it_stops(issue: DatasetIssue) -> None:
    """A report that raises for issues that stop a reader, and ignores others."""
    if issue.stops:
        raise issue.error()
