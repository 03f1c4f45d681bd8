"""Filters messages from Lightning's start-up output that users cannot act on."""

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

QUIET = (
    # advertisements, and what FIND's own first line says more briefly
    r".*litlogger",
    r".*litmodels",
    r"(GPU|TPU|HPU) available: False",
    r"GPU available: True.*used: True",
    r"Using .* Automatic Mixed Precision",
    r"Loading `train_dataloader` to estimate",
    # by design: one folder per run, frozen foundations in eval mode, losses logged across epochs
    r"Checkpoint directory .* exists and is not empty",
    r"Found \d+ module\(s\) in eval mode",
    r"The number of training batches \(\d+\) is smaller than the logging interval",
    # caused by Lightning's own code
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",
)
"""Regular expressions that match the beginnings of messages. All other messages are shown."""

LOGGERS = ("lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.rank_zero")


@contextmanager
def filtered_messages() -> Iterator[None]:
    """Hides Lightning's messages and warnings that match `QUIET`."""
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
