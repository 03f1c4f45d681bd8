"""A protocol is a small class or a function: evaluation runs it, and every table shows it by what its result tells."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
from oracle import HalfMasks, Oracle

from find.data.coco import CocoFolder
from find.errors import FindError, InputError
from find.evaluation.curves import Chart
from find.evaluation.evaluate import evaluate
from find.evaluation.protocol import EvaluationProtocol, Measured, Metric, Run
from find.evaluation.protocol_names import PUBLISHED, protocol_names
from find.evaluation.protocols.panoptic import Panoptic
from find.evaluation.report.report import write_report
from find.evaluation.results import PUBLISHED_TASKS, comparison_table
from find.evaluation.systems.run import Settings, results_json, write_results
from find.evaluation.table import only_table, rich_table
from find.utils.entry_points import declared

MISSED = Metric("missed", unit="pixels", higher_is_better=False, digits=2)
HIT = Metric("hit")


@dataclass(frozen=True)
class Missed(EvaluationProtocol):
    """How many pixels of a phrase's target a mask misses."""

    gallery: int = 3
    factor: float = 1.0
    name: ClassVar[str] = "missed_pixels"

    def embeds(self, run: Run) -> int:
        return self.gallery

    def run(self, system, data, run: Run) -> Measured:
        def asked(image_ids):
            found = []
            for image_id in image_ids:
                (answers,) = system.ground([data.image(image_id)], [["a car"]])
                (car,) = (one for one in data.segments(image_id) if one.category_id == 3)
                target = data.segment_map(image_id) == car.id
                found.append(int((target & ~answers[0].mask).sum()))
            return found

        records = run.in_order(run.image_ids, asked, title="missed pixels")
        assert len(run.embeddings) >= min(self.gallery, len(run.image_ids))
        figures = {"missed": self.factor * sum(records) / len(records), "hit": 100 * records.count(0) / len(records)}
        details = {"embedded": len(run.embeddings)}
        curve = {"x": [0.0, 1.0], "y": [figures["hit"], 100.0]}
        return Measured(
            "Missed pixels", (MISSED, HIT), figures, {"hit": [0.0, 100.0]}, details, records,
            chart=Chart("Images by missed pixels", "share missed"), found_curves={"all": curve},
        )  # fmt: skip

    def texts(self, data, run: Run):
        return ["a car"]


def count_images(system, data, run: Run) -> Measured:
    return Measured("Images", [Metric("images", unit="", digits=0)], {"images": float(len(run.image_ids))})


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch):
    """An installed package with this protocol."""
    info = tmp_path / "plugin" / "mine-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[find.protocols]\nmissed_pixels = {__name__}:Missed\n")
    monkeypatch.syspath_prepend(tmp_path / "plugin")
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])
    declared.cache_clear()
    yield
    declared.cache_clear()


def test_objects_functions_and_names_are_run_beside_ours(folder: CocoFolder, plugin):
    found = evaluate(
        HalfMasks(folder), folder, protocols=[Panoptic(), Missed(factor=2), count_images], limit=4, progress=False
    )
    assert list(found.results) == ["panoptic", "missed_pixels", "count_images"]
    figures = json.loads(json.dumps(found.to_json()))
    assert figures["missed_pixels"] == {"missed": 2 * 16 * 5, "hit": 0} and figures["count_images"] == {"images": 4}
    assert figures["retrieval"] is None and figures["panoptic"]["AP"] is not None
    assert figures["details"]["missed_pixels"] == {"embedded": 3} and len(found.results["missed_pixels"].records) == 4
    by_name = evaluate(Oracle(folder), folder, tasks=["missed_pixels"], gallery=4, progress=False)
    assert by_name.to_json()["details"]["missed_pixels"] == {"embedded": 4}  # a setting that it has
    by_path = evaluate(Oracle(folder), folder, protocols=[f"{__name__}.Missed", Panoptic], progress=False)
    assert by_path.to_json()["missed_pixels"] == {"missed": 0, "hit": 100} and "panoptic" in by_path.results


def test_ours_come_the_same_way_and_are_what_is_run_by_default(folder: CocoFolder):
    assert protocol_names()[: len(PUBLISHED)] == list(PUBLISHED)
    made = {name: declared("find.protocols")[name].load()() for name in PUBLISHED}
    assert {name: protocol.name for name, protocol in made.items()} == {name: name for name in PUBLISHED}
    found = evaluate(Oracle(folder), folder, progress=False)
    assert list(found.results) == list(PUBLISHED)
    for name, result in found.results.items():
        assert list(result.to_json()) == [metric.name for metric in result.metrics]
        assert result.title == PUBLISHED_TASKS[name].title


def test_tables_and_the_report_show_what_they_were_never_told_of(folder: CocoFolder, tmp_path: Path):
    columns = {}
    for name, system in (("half", HalfMasks(folder)), ("truth", Oracle(folder))):
        found = evaluate(system, folder, protocols=[Missed(), "interactive"], limit=3, progress=False)
        columns[name] = found.to_json()
        settings = Settings(split="val2017")
        record = results_json(found, name=name, about="a system", folder=folder, settings=settings)
        write_results(tmp_path / name / "results.json", record)
        assert "| missed pixels | missed (pixels, lower is better) |" in found.to_markdown()
        assert "| missed pixels | hit |" in found.to_markdown() and "0.0 to 100.0" in found.to_markdown()
    table = comparison_table(json.loads(json.dumps(columns)))
    assert "| missed pixels | missed (pixels, lower is better) | 80.00 | 0.00 |" in table
    assert table.index("| interactive | NoC@85 (clicks, lower is better)") < table.index("| missed pixels | hit |")
    page = write_report([tmp_path / "half", tmp_path / "truth"], tmp_path / "report.html").read_text()
    assert "Missed pixels" in page and "missed (pixels, lower is better)" in page
    assert "Images by missed pixels" in page and "share missed" in page
    assert '<td>80.00</td><td class="best">0.00</td>' in page  # fewer missed pixels are better


def test_figures_of_before_metrics_were_told_still_make_a_table(folder: CocoFolder):
    figures = evaluate(Oracle(folder), folder, tasks=["panoptic"], progress=False).to_json()
    del figures["metrics"]
    assert "| panoptic | PQ | 100.0 |" in comparison_table({"old": figures})
    table = rich_table({"old": only_table(figures)})
    assert "NoC@85 (clicks, lower is better)" in list(table.columns[1].cells)


def test_what_cannot_be_run_is_refused(folder: CocoFolder):
    for protocols, expected in (
        ([Panoptic(), Panoptic()], "two protocols are called 'panoptic'"),
        ([3], "3 is not a protocol"),
        (["missing"], "no task 'missing'; there are panoptic, "),
        (["find.nowhere.Protocol"], "find.nowhere.Protocol cannot be imported"),
    ):
        with pytest.raises(FindError, match=expected):
            evaluate(Oracle(folder), folder, protocols=protocols, progress=False)
    with pytest.raises(InputError, match="not both"):
        evaluate(Oracle(folder), folder, protocols=[Panoptic()], tasks=["panoptic"], progress=False)
