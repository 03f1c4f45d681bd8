"""Training tells of classes that its language encoder cannot read, and of nothing where it reads all."""

import warnings

import pytest

from find.cli.main import main as findvl
from find.foundations import load_language
from find.training.class_words import warn_unknown_classes


def test_classes_with_unknown_words_are_counted_and_named():
    language = load_language("tiny")
    with pytest.warns(UserWarning, match=r"2 of 4 class names \(dining table, microwave\).*config.language"):
        warn_unknown_classes(language, ["dog", "dining table", "traffic light", "microwave"])
    with pytest.warns(UserWarning, match=r"12 of 12 class names \(.*, \.\.\.\)"):
        warn_unknown_classes(language, [f"microwave {number}" for number in range(12)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_unknown_classes(language, ["dog", "traffic light"])


def test_the_command_line_does_not_filter_it(write_config):
    with pytest.warns(UserWarning, match="never seen words of 92 of 133 class names"):
        assert findvl(["fit", "-c", str(write_config())]) == 0
