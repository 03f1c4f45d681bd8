"""What Lightning says at the start of a run, without what nobody can act on here."""

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

QUIET = (
    # advertisements, and what our own line at the start says shorter
    r".*litlogger",
    r".*litmodels",
    r"(GPU|TPU|HPU) available: False",
    r"GPU available: True.*used: True",
    r"Using .* Automatic Mixed Precision",
    r"Loading `train_dataloader` to estimate",
    # by design: one folder for each run, frozen foundations in eval mode, losses logged over the ends of epochs
    r"Checkpoint directory .* exists and is not empty",
    r"Found \d+ module\(s\) in eval mode",
    r"The number of training batches \(\d+\) is smaller than the logging interval",
    # of Lightning's own code
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",
)
"""Regular expressions for the beginnings of messages. Whatever else Lightning has to say comes through."""

LOGGERS = ("lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.rank_zero")


@contextmanager
def filtered_messages() -> Iterator[None]:
    """Within it, Lightning's messages and warnings that `QUIET` names are not shown."""
    quiet = _Quiet()
    loggers = [logging.getLogger(name) for name in LOGGERS]
    for logger in loggers:
        logger.addFilter(quiet)
    try:
        with warnings.catch_warnings():
            for beginning in QUIET:
                warnings.filterwarnings("ignore", message=beginning)
            yield
    finally:
        for logger in loggers:
            logger.removeFilter(quiet)


class _Quiet(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return not any(re.match(beginning, record.getMessage()) for beginning in QUIET)
