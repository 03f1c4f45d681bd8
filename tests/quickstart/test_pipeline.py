"""Claims about the main job on a world of a few scenes: what it writes, and what a second run takes over."""

import json
from pathlib import Path

import pytest
import torch

from find.evaluation.results import METRICS
from find.quickstart.pipeline import Demo, DemoSettings, _training_overrides


def _run(out, **changes):
    settings = DemoSettings(out=out, train_images=12, val_images=8, queries=2, device="cpu", **changes)
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
        trainer = _training_overrides(Path("world"), Path("run"), 1.0, torch.device(device))["trainer"]
        assert (trainer["accelerator"], trainer["devices"]) == expected


@pytest.mark.slow
def test_training_gives_a_model_and_its_curves_and_a_second_run_keeps_both(tmp_path):
    page, metrics = _run(tmp_path / "demo", minutes=0.05)
    assert metrics["columns"]["trained"]["panoptic"]["PQ"] is not None
    assert (tmp_path / "demo" / "losses.png").is_file() and "Losses" in page
    again = _run(tmp_path / "demo", minutes=0.05)[1]
    assert again["columns"] == metrics["columns"]
    assert "training" in again["reused"]
