"""Claims about what of Lightning's talk is shown."""

import logging
import warnings

from find.training.log_filters import LOGGERS, filtered_messages


class Heard(logging.Handler):
    """Of the logger itself: Lightning's may not hand on to the root, where pytest listens."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


def test_what_nobody_can_act_on_is_quiet_and_the_rest_is_not(monkeypatch):
    logger, heard = logging.getLogger(LOGGERS[0]), Heard()
    monkeypatch.setattr(logger, "handlers", [heard])
    monkeypatch.setattr(logger, "disabled", False)  # as a library that configures logging may have left it
    before = logger.level
    logger.setLevel(logging.INFO)  # which forgets what the logger has noted of levels
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        with filtered_messages():
            for message in ("TPU available: False, using: 0 TPU cores", "`Trainer.fit` stopped", "Tip: try litlogger"):
                logger.info(message)
            warnings.warn("Found 228 module(s) in eval mode at the start of training.", stacklevel=1)
            warnings.warn("GPU available but not used.", stacklevel=1)
        logger.info("TPU available: False")
    logger.setLevel(before)
    assert heard.messages == ["`Trainer.fit` stopped", "TPU available: False"]
    assert [str(warning.message) for warning in shown] == ["GPU available but not used."]
