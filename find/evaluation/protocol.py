"""The base classes of evaluation protocols and of their results.

A package adds a protocol by declaring it in its pyproject.toml; FIND's own are declared the same way:

    [project.entry-points."find.protocols"]
    counting = "mypackage.protocol:Counting"

`evaluate(model, data, protocols=["counting"])`, `findvl test --tasks panoptic,counting` and `findvl bench run --tasks
counting` then run it.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from find.data.data_split import DataSplit
from find.errors import InputError
from find.evaluation.confidence import Intervals
from find.evaluation.curves import Chart, Curve
from find.evaluation.distributed import in_order
from find.evaluation.gallery import ImageGallery
from find.evaluation.protocol_names import GROUP, protocol_names
from find.utils.entry_points import declared, load_named

Figures = dict[str, Any]
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Metric:
    """A figure's name, unit, direction (whether higher is better) and number of decimals in tables."""

    name: str
    unit: str = "%"
    higher_is_better: bool = True
    digits: int = 1

    @property
    def label(self) -> str:
        """The name, with the unit unless it is percent, and with "lower is better" if it applies."""
        qualifiers = [] if self.unit == "%" else [self.unit]
        qualifiers += [] if self.higher_is_better else ["lower is better"]
        return f"{self.name} ({', '.join(qualifiers)})" if qualifiers else self.name

    def written(self, value: float | None) -> str:
        """A figure formatted for tables."""
        return "–" if value is None else f"{value:.{self.digits}f}"

    def best(self, values: Sequence[float | None]) -> float | None:
        """The best of several figures; None if there is no choice."""
        known = [value for value in values if value is not None]
        if len(set(known)) < 2:
            return None
        return max(known) if self.higher_is_better else min(known)


class Result(ABC):
    """The result of a protocol: figures by the names of `metrics`, in their units, and further information."""

    title: str
    """The title in tables, such as "Panoptic segmentation"."""
    metrics: Sequence[Metric]
    """The columns or rows of tables, in their order."""
    chart: Chart | None = None
    """The chart of a report's curves, if there are any."""

    @abstractmethod
    def to_json(self) -> Figures:
        """The figures by name; None for one that could not be measured."""

    def intervals(self) -> Intervals:
        """95 % confidence intervals of those figures that have one, by bootstrap over images."""
        return {}

    def details(self) -> Figures:
        """Further content of the JSON: counts, settings, more figures."""
        return {}

    def held_out(self) -> Figures | None:
        """Separate figures for `seen` and `held_out` combinations, if the data distinguish them."""
        return None

    def curves(self) -> dict[str, Curve]:
        """Curves of the chart by name."""
        return {}

    def notes(self) -> list[str]:
        """Notes for readers of the figures, one sentence each."""
        return []

    def described(self) -> Figures:
        """Title, metrics and chart, stored in JSON so that tables and reports can be made from it."""
        return {
            "title": self.title,
            "metrics": [dataclasses.asdict(metric) for metric in self.metrics],
            "chart": self.chart and dataclasses.asdict(self.chart),
        }


@dataclass(frozen=True)
class Measured(Result):
    """A result with given figures, for protocols that need no result class of their own.

    `records` are the answers from which the figures were computed, for inspection; JSON omits them.
    """

    title: str
    metrics: Sequence[Metric]
    figures: Mapping[str, float | None]
    found_intervals: Intervals = field(default_factory=dict)
    found_details: Mapping[str, Any] = field(default_factory=dict)
    records: Sequence[Any] = field(default=(), repr=False)
    chart: Chart | None = None
    found_curves: Mapping[str, Curve] = field(default_factory=dict)

    def curves(self) -> dict[str, Curve]:
        return dict(self.found_curves)

    def to_json(self) -> Figures:
        return dict(self.figures)

    def intervals(self) -> Intervals:
        return dict(self.found_intervals)

    def details(self) -> Figures:
        return dict(self.found_details)


@dataclass(frozen=True)
class Run:
    """Settings and shared data of one evaluation, passed to its protocols.

    Attributes:
        image_ids: the images to evaluate, in the order of the data.
        limit: the user's limit on the number of images; None: no limit.
        embeddings: embeddings of the first images, as many as a protocol requests (`EvaluationProtocol.embeds`).
    """

    image_ids: Sequence[int]
    limit: int | None = None
    embeddings: ImageGallery | None = None
    batch_size: int = 32
    progress: bool = True

    def in_order(self, items: Sequence[T], work: Callable[[Sequence[T]], Sequence[R]], *, title: str) -> list[R]:
        """Runs `work` on batches of the items, in all processes of `torchrun`; returns one result per item, in order.

        Figures computed from all results do not depend on the number of processes. Batches that do not fit into memory
        are halved.
        """
        return in_order(items, work, batch_size=self.batch_size, title=title, progress=self.progress)

    @property
    def options(self) -> dict[str, Any]:
        """Batch size and progress, as keyword arguments."""
        return {"batch_size": self.batch_size, "progress": self.progress}


class EvaluationProtocol(ABC):
    """Queries a system about the images of a run and scores its answers.

    If the class is a dataclass and is chosen by name, fields named like settings of `evaluate` (`gallery`,
    `interleaving` ...) get their values.
    """

    name: str
    """The key in results: one word, such as "panoptic"."""

    @abstractmethod
    def run(self, system: Any, data: DataSplit, run: Run) -> Result:
        """Queries the system and scores its answers.

        Raises:
            MissingAnnotations: the data lack required annotations (`find.evaluation.task_results`).
            FindError: an answer cannot be used.
        """

    def embeds(self, run: Run) -> int:
        """How many of the run's first images it needs in `run.embeddings`."""
        return 0

    def texts(self, data: DataSplit, run: Run) -> Iterable[str]:
        """The texts that the system gets, so that unknown words in them can be counted."""
        return ()


ProtocolLike = EvaluationProtocol | Callable[[Any, DataSplit, Run], Result] | str
"""A protocol, an equivalent function, the name of an installed protocol, or a class path."""


@dataclass(frozen=True)
class FunctionProtocol(EvaluationProtocol):
    """A protocol that wraps a function of (system, data, run)."""

    name: str
    function: Callable[[Any, DataSplit, Run], Result]

    def run(self, system: Any, data: DataSplit, run: Run) -> Result:
        return self.function(system, data, run)


def as_protocol(given: ProtocolLike, settings: Mapping[str, Any]) -> EvaluationProtocol:
    """The protocol `given`, or the one that it names; a named one is built with the settings that it takes.

    Raises:
        InputError: there is no protocol of that name, or `given` is not one.
    """
    made = given
    if isinstance(given, str):
        if "." not in given and given not in declared(GROUP):
            raise InputError(f"there is no task {given!r}; there are {', '.join(protocol_names())}")
        made = load_named(given, GROUP, "protocol")
    if isinstance(made, type) and issubclass(made, EvaluationProtocol):
        known = [one.name for one in dataclasses.fields(made)] if dataclasses.is_dataclass(made) else []
        return made(**{name: value for name, value in settings.items() if name in known})
    if isinstance(made, EvaluationProtocol):
        return made
    if callable(made) and not isinstance(made, type):
        return FunctionProtocol(getattr(made, "__name__", type(made).__name__), made)
    raise InputError(f"{given!r} is not a protocol: give a find.evaluation.protocol.EvaluationProtocol, or a function")
