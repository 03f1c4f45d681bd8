"""Claims about the main job on a world of a few scenes: what it writes, and what a second run takes over."""

import json
from pathlib import Path

import pytest
import torch

from find.errors import FindError
from find.evaluation.results import METRICS
from find.quickstart.pipeline import Demo, DemoSettings
from find.quickstart.training import TrainingRecord, training_overrides


def _run(out, **changes):
    settings = DemoSettings(out=out, train_images=4, val_images=8, queries=2, device="cpu", **changes)
    page = Demo(settings).run()
    return page.read_text(), json.loads((out / "metrics.json").read_text())


def test_shipped_weights_are_shown_a_second_run_measures_nothing_and_another_world_everything(tmp_path):
    page, metrics = _run(tmp_path / "demo", skip_training=True)
    assert {name: {task: tuple(row) for task, row in tasks.items()} for name, tasks in metrics["columns"].items()} == {
        name: dict(METRICS) for name in ("untrained", "trained", "shipped", "clip")
    }
    assert metrics["columns"]["trained"]["panoptic"]["PQ"] is None
    assert metrics["columns"]["clip"]["panoptic"]["PQ"] is None
    assert metrics["columns"]["clip"]["retrieval"]["IR@10"] is not None
    assert 0 <= metrics["columns"]["shipped"]["interleaved_segmentation"]["cIoU"] <= 100
    assert metrics["data"]["gallery"] == 8
    assert page.count("<article") >= 1 and page.count("<figure") == page.count("<article") * 5 + page.count('missed"')
    assert (tmp_path / "demo" / "contact-sheet.png").is_file()

    again = _run(tmp_path / "demo", skip_training=True)[1]
    assert again["columns"] == metrics["columns"]
    assert set(again["reused"]) == {
        "world", "evaluation of untrained", "evaluation of shipped", "evaluation of clip", "album",
    }  # fmt: skip
    assert "evaluation of shipped" not in again["seconds"]

    elsewhere = _run(tmp_path / "demo", skip_training=True, seed=7)[1]
    assert elsewhere["reused"] == []


def test_training_runs_where_the_demo_runs():
    for device, expected in (("cpu", ("cpu", 1)), ("cuda:1", ("cuda", [1]))):
        trainer = training_overrides(Path("world"), Path("run"), 9, None, torch.device(device))["trainer"]
        assert (trainer["accelerator"], trainer["devices"]) == expected


def test_a_record_of_training_tells_whether_it_was_whole_and_comes_back_from_json():
    whole = TrainingRecord(400, 400, 7.5, None, "32-true")
    cut = TrainingRecord(120, 400, 6.0, 6.0, "32-true")
    assert (whole.summary, cut.summary) == ("400 steps", "stopped at step 120 of 400")
    assert TrainingRecord.from_json(json.loads(json.dumps(cut.to_json()))) == cut


@pytest.mark.parametrize("settings", [{"steps": 0}, {"minutes": 0.0}, {"minutes": float("nan")}, {"train_images": 0}])
def test_a_training_of_nothing_is_refused(settings):
    with pytest.raises(FindError, match=next(iter(settings)).replace("_", "-").replace("train-", "")):
        DemoSettings(**settings)


@pytest.mark.slow
def test_training_gives_a_model_and_its_curves_and_a_second_run_keeps_both(tmp_path):
    page, metrics = _run(tmp_path / "demo", steps=2)
    assert metrics["columns"]["trained"]["panoptic"]["PQ"] is not None
    assert metrics["training"]["summary"] == "2 steps"
    assert (tmp_path / "demo" / "losses.png").is_file() and "Losses" in page
    again = _run(tmp_path / "demo", steps=2)[1]
    assert again["columns"] == metrics["columns"]
    assert "training" in again["reused"]


@pytest.mark.slow
def test_a_training_that_a_cap_ends_is_told_in_the_page_and_in_the_figures(tmp_path):
    page, metrics = _run(tmp_path / "demo", steps=400, minutes=0.05)
    reported = metrics["training"]["summary"]
    assert reported == f"stopped at step {metrics['training']['steps']} of 400" and metrics["training"]["steps"] < 400
    assert reported in metrics["notes"][0] and page.count(reported) >= 2
