"""Progress bars for people who watch, on standard error: what a command finds goes to standard output."""

from collections.abc import Iterable, Sequence
from typing import TypeVar

import rich.progress
from rich.console import Console
from rich.progress import Progress, ProgressColumn

T = TypeVar("T")


def track(items: Sequence[T], title: str, *, shown: bool, transient: bool = False) -> Iterable[T]:
    """The items, with a bar while they are gone through; a transient one leaves nothing behind."""
    console = Console(stderr=True)
    return rich.progress.track(
        items, title, console=console, disable=not (shown and _is_watched(console)), transient=transient
    )


def progress_bar(*columns: ProgressColumn, shown: bool, transient: bool = False) -> Progress:
    """A bar of these columns, for work that is not a sequence."""
    console = Console(stderr=True)
    return Progress(*columns, console=console, disable=not (shown and _is_watched(console)), transient=transient)


def _is_watched(console: Console) -> bool:
    """A file would get a line or more of each bar, some of them empty."""
    return console.is_terminal or console.is_jupyter
