"""The base class of evaluation protocols, which ask a system about data, and of their results.

A package adds one by declaring it in its own pyproject.toml; ours are declared the same way:

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
        """The name, followed by the unit where it is not percent, and by "lower is better" where that is so."""
        told = [] if self.unit == "%" else [self.unit]
        told += [] if self.higher_is_better else ["lower is better"]
        return f"{self.name} ({', '.join(told)})" if told else self.name

    def written(self, value: float | None) -> str:
        """A figure as tables show it."""
        return "–" if value is None else f"{value:.{self.digits}f}"

    def best(self, values: Sequence[float | None]) -> float | None:
        """The best of some figures; None where there is nothing to choose."""
        known = [value for value in values if value is not None]
        if len(set(known)) < 2:
            return None
        return max(known) if self.higher_is_better else min(known)


class Result(ABC):
    """What a protocol measured: figures by the names of `metrics`, in their units, and more about them."""

    title: str
    """For tables, such as "Panoptic segmentation"."""
    metrics: Sequence[Metric]
    """The columns or rows of tables, in their order."""
    chart: Chart | None = None
    """What a report draws the curves in, if there are any."""

    @abstractmethod
    def to_json(self) -> Figures:
        """The figures by their names; None for one that could not be measured."""

    def intervals(self) -> Intervals:
        """95 % confidence intervals of the figures that have one, by bootstrap over images."""
        return {}

    def details(self) -> Figures:
        """What else JSON holds: counts, settings, further figures."""
        return {}

    def held_out(self) -> Figures | None:
        """Separate figures for what was `seen` in training and what was `held_out`, if the data say which is which."""
        return None

    def curves(self) -> dict[str, Curve]:
        """Curves for the chart by their names."""
        return {}

    def notes(self) -> list[str]:
        """Remarks for readers of the figures, one sentence each."""
        return []

    def described(self) -> Figures:
        """Title, metrics and chart, as JSON holds them so that tables and reports can be made of it."""
        return {
            "title": self.title,
            "metrics": [dataclasses.asdict(metric) for metric in self.metrics],
            "chart": self.chart and dataclasses.asdict(self.chart),
        }


@dataclass(frozen=True)
class Measured(Result):
    """A result whose figures are known already, for protocols that need no result class of their own.

    `records` are the answers that the figures were computed from, for inspection; JSON leaves them out.
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
    """One evaluation, as a protocol sees it.

    Attributes:
        image_ids: the images to ask about, in the order of the data.
        limit: the most images that the user wants evaluated; None: no limit.
        embeddings: vectors of the first images, as many as a protocol has asked for (`EvaluationProtocol.embeds`).
    """

    image_ids: Sequence[int]
    limit: int | None = None
    embeddings: ImageGallery | None = None
    batch_size: int = 32
    progress: bool = True

    def in_order(self, items: Sequence[T], work: Callable[[Sequence[T]], Sequence[R]], *, title: str) -> list[R]:
        """`work` on batches of the items, shared by all processes of `torchrun`; one result an item, in their order.

        Figures made of the whole do not depend on the number of processes. Chunks that memory does not suffice for are
        halved.
        """
        return in_order(items, work, batch_size=self.batch_size, title=title, progress=self.progress)

    @property
    def options(self) -> dict[str, Any]:
        """Batch size and progress, as functions take them."""
        return {"batch_size": self.batch_size, "progress": self.progress}


class EvaluationProtocol(ABC):
    """Asks a system about the images of a run and scores its answers.

    If it is a dataclass and is chosen by its name, its fields that are named like settings of `evaluate` (`gallery`,
    `interleaving` ...) get their values.
    """

    name: str
    """In results: a word, such as "panoptic"."""

    @abstractmethod
    def run(self, system: Any, data: DataSplit, run: Run) -> Result:
        """Ask the system and score its answers.

        Raises:
            MissingAnnotations: the data lack the annotations that it needs (`find.evaluation.task_results`).
            FindError: an answer cannot be used.
        """

    def embeds(self, run: Run) -> int:
        """How many of the run's images, from the first on, it needs embedded in `run.embeddings`."""
        return 0

    def texts(self, data: DataSplit, run: Run) -> Iterable[str]:
        """The texts that it gives the system to read, so that unknown words in them can be counted."""
        return ()


ProtocolLike = EvaluationProtocol | Callable[[Any, DataSplit, Run], Result] | str
"""A protocol, a function that does the same, or a name: of an installed package's protocol, or a class path."""


@dataclass(frozen=True)
class FunctionProtocol(EvaluationProtocol):
    """A protocol that is a function of (system, data, run)."""

    name: str
    function: Callable[[Any, DataSplit, Run], Result]

    def run(self, system: Any, data: DataSplit, run: Run) -> Result:
        return self.function(system, data, run)


def as_protocol(given: ProtocolLike, settings: Mapping[str, Any]) -> EvaluationProtocol:
    """The protocol that `given` is or names; a named one is built with those of the settings that it takes.

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
    raise InputError(f"{given!r} is no protocol: give a find.evaluation.protocol.EvaluationProtocol, or a function")
