"""The report of `findvl data check`, as text, as JSON and for a console."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from find.data.dataset_issue import DatasetIssue, Severity
from find.errors import printable

MANY = 5
"""Above this number of issues of one kind, only the first is shown, with the number."""


@dataclass(frozen=True)
class CheckReport:
    """Statistics and issues of a data folder.

    `checked` counts images, segments, captions, sentences, phrases and expressions, over all splits; `outcomes` says
    how training and evaluation will treat each split.
    """

    root: str
    splits: tuple[str, ...]
    checked: Counter[str]
    issues: tuple[DatasetIssue, ...]
    outcomes: tuple[str, ...]

    @property
    def counts(self) -> Counter[str]:
        """Issues by kind."""
        return Counter(issue.kind for issue in self.issues)

    @property
    def errors(self) -> int:
        return sum(issue.severity is Severity.ERROR for issue in self.issues)

    @property
    def warnings(self) -> int:
        return len(self.issues) - self.errors

    @property
    def has_errors(self) -> bool:
        return self.errors > 0

    def to_json(self) -> dict[str, Any]:
        return {
            "root": self.root,
            "splits": list(self.splits),
            "checked": dict(self.checked),
            "errors": self.errors,
            "warnings": self.warnings,
            "counts": dict(self.counts),
            "outcomes": list(self.outcomes),
            "issues": [{**asdict(issue), "severity": issue.severity.value} for issue in self.issues],
        }

    def examples(self) -> list[tuple[DatasetIssue, int]]:
        """The issues to show, with the number that each represents: all of a kind, or the first of many."""
        counts, shown, seen = self.counts, [], set()
        for issue in self.issues:
            if counts[issue.kind] <= MANY:
                shown.append((issue, 1))
            elif issue.kind not in seen:
                shown.append((issue, counts[issue.kind]))
            seen.add(issue.kind)
        return shown

    def to_text(self) -> str:
        """One line per issue, or per kind with many; then the counts, and how the data will be treated."""
        lines = [f"{one.severity.value}: {one.kind}{_times(count)}: {one}" for one, count in self.examples()]
        lines += [f"{count:>7}  {kind}" for kind, count in self.counts.most_common()]
        return "\n".join([*lines, self.summary(), self.outcome()])

    def outcome(self) -> str:
        """How training and evaluation will treat the folder."""
        return f"training and evaluation: {'; '.join(self.outcomes)}"

    def summary(self) -> str:
        """The numbers of checked items, errors and warnings."""
        checked = ", ".join(f"{count} {what}" for what, count in self.checked.items())
        return f"{printable(self.root)} ({', '.join(self.splits)}): {checked or 'nothing'}; {self.errors} errors, " + (
            f"{self.warnings} warnings"
        )

    def render(self) -> Group:
        """The same as `to_text` for a rich console."""
        colors = {Severity.ERROR: "red", Severity.WARNING: "yellow"}
        lines: list[Any] = []
        for issue, count in self.examples():
            mark = f"[{colors[issue.severity]}]{issue.severity.value}[/]"
            kind = escape(issue.kind + _times(count))
            lines.append(Text.from_markup(f"{mark} [bold]{kind}[/] {escape(str(issue))}"))
        if self.issues:
            table = Table("count", "kind")
            for kind, count in self.counts.most_common():
                table.add_row(str(count), kind)
            lines.append(table)
        style = "red" if self.errors else "green"
        return Group(*lines, Text(self.summary(), style=style), Text(self.outcome(), style=style))


def _times(count: int) -> str:
    return f" ({count:,} times; --json lists all)" if count > 1 else ""
