"""What is told beside the table: cut trainings, and figures that are below those of no training."""

from find.evaluation.table import only_table
from find.quickstart.notes import notes
from find.quickstart.training import TrainingRecord

WHOLE = TrainingRecord(300, 300, 7.5, None, "32-true")
CUT = TrainingRecord(30, 300, 6.0, 6.0, "bf16-mixed")


def _columns(trained: float | None, clip: float | None, untrained: float = 5.0):
    def table(value, pq=None):
        return only_table({"interleaved_retrieval": {"IR@5": value}, "panoptic": {"PQ": pq}})

    return {
        "untrained": table(untrained, 0.1),
        "trained": table(trained, 50.0),
        "shipped": table(97),
        "clip": table(clip),
    }


def test_a_whole_training_that_is_better_than_none_needs_no_words():
    assert notes(_columns(90.4, 83.8), WHOLE) == []
    assert notes(_columns(83.1, 83.8), WHOLE) == []  # within a percent
    assert notes(_columns(None, 83.8), None) == []  # the shipped weights only


def test_a_cut_training_is_told_with_the_step_and_the_cap():
    (note,) = notes(_columns(90.4, 83.8), CUT)
    assert "stopped at step 30 of 300" in note and "6 minutes" in note


def test_a_model_below_the_untrained_one_is_never_shown_without_the_reason():
    _, why = notes(_columns(57.2, 83.8), CUT)
    assert "interleaved retrieval (IR@5 57.2, frozen CLIP 83.8)" in why and "random weights" in why
    assert "panoptic" not in why
    (why,) = notes(_columns(57.2, 83.8), WHOLE)
    assert "300 steps are too few" in why and "--steps" in why
    (why,) = notes(_columns(57.2, None, untrained=60.0), WHOLE)
    assert "untrained 60.0" in why
