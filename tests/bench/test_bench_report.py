"""A run's page: complete in itself, with every run's figures; and what its pictures and curves are made of."""

import json
import re
from pathlib import Path

import pytest
import torch
from PIL import Image

from find.cli.main import main
from find.errors import FindError
from find.evaluation.report.charts import Line, line_chart
from find.evaluation.report.examples import read_examples
from find.evaluation.report.report import write_report
from find.evaluation.systems.benchmark_system import load_benchmark_system
from find.evaluation.systems.run import Settings, run

SETTINGS = Settings(split="val2017", limit=4, clicked_images=1)


@pytest.fixture(scope="module")
def runs(world: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """find-tiny and the frozen pair, on four images."""
    folder = tmp_path_factory.mktemp("runs")
    for name, tasks in (("find-tiny", ["panoptic", "grounding", "retrieval"]), ("frozen-pair:find-tiny", None)):
        candidate = load_benchmark_system(name, device=torch.device("cpu"))
        out = folder / name.partition(":")[0]
        run(candidate, world, settings=SETTINGS, tasks=tasks, out=out, progress=False)
    return [folder / "find-tiny", folder / "frozen-pair"]


def test_the_page_holds_every_figure_and_needs_nothing_else(runs: list[Path], tmp_path: Path):
    page = write_report(runs, tmp_path / "page.html").read_text()
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    assert "http" not in page.replace("http://www.w3.org", "")
    for path in runs:
        results = json.loads((path / "results.json").read_text())
        assert results["system"]["name"] in page
        for task in ("panoptic", "retrieval"):
            for metric, value in (results[task] or {}).items():
                assert f">{value:.1f}" in page, metric
    assert page.count("<figure") == len(read_examples(runs[0])) == 8
    assert 'data-category="sky"' in page or "PQ of each category" in page


def test_figures_on_other_data_are_not_compared(runs: list[Path], tmp_path: Path):
    results = json.loads((runs[0] / "results.json").read_text())
    results["retrieval"]["IR@1"] = 1.0
    (tmp_path / "same.json").write_text(json.dumps(results))
    results["data"]["images"] = 3
    (tmp_path / "other.json").write_text(json.dumps(results))
    pages = [
        write_report([runs[0], tmp_path / name], tmp_path / "page.html").read_text()
        for name in ("same.json", "other.json")
    ]
    assert ['<td class="best"' in page for page in pages] == [True, False]
    assert ["on different data" in page for page in pages] == [False, True]


def test_best_answers_are_no_worse_than_the_worst_and_are_drawn(runs: list[Path]):
    examples = [example for example, _ in read_examples(runs[0])]
    for task in ("panoptic", "grounding"):
        best = [example.score for example in examples if (example.task, example.kind) == (task, "best")]
        worst = [example.score for example in examples if (example.task, example.kind) == (task, "worst")]
        assert len(best) == len(worst) == 2
        assert min(best) >= max(worst)
    for file in (runs[0] / "examples").glob("*.webp"):
        with Image.open(file) as picture:
            assert picture.width > picture.height  # answer beside truth
    assert not read_examples(runs[1])


def test_curves_go_through_the_figures(runs: list[Path]):
    results = json.loads((runs[0] / "results.json").read_text())
    recall = results["curves"]["retrieval"]["images by a text"]
    assert recall["y"][0] == pytest.approx(results["retrieval"]["IR@1"], abs=1e-3)
    assert recall["x"][-1] == 4  # the gallery
    shares = results["curves"]["grounding"]["all"]
    assert shares["y"][shares["x"].index(0.5)] == pytest.approx(results["grounding"]["P@0.5"], abs=1e-3)
    assert shares["y"] == sorted(shares["y"], reverse=True)


def test_a_chart_escapes_names():
    svg = str(line_chart([Line("<b>", [0, 1], [0, 100], "#000")], "a & b"))
    assert "<b>" not in svg and "a &amp; b" in svg


def test_what_is_no_result_is_refused(tmp_path: Path):
    (tmp_path / "other.json").write_text("[1]")
    for path, message in ((tmp_path / "other.json", "not a result of"), (tmp_path / "nothing", "no results to read")):
        with pytest.raises(FindError, match=message):
            write_report([path], tmp_path / "page.html")


def test_of_several_processes_the_first_writes(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    candidate = load_benchmark_system("frozen-pair:find-tiny", device=torch.device("cpu"))
    for rank in ("1", "0"):
        assert not (tmp_path / "results.json").exists()
        monkeypatch.setenv("RANK", rank)
        assert run(candidate, world, settings=SETTINGS, tasks=["retrieval"], out=tmp_path, progress=False).results[
            "retrieval"
        ]
    assert (tmp_path / "results.json").exists()


def test_the_commands_work_as_a_newcomer_types_them(world: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    options = ["--split", "val2017", "--limit", "2"]
    run_options = ["--root", str(world), "--tasks", "grounding", "--out", str(tmp_path / "run"), "--save-predictions"]
    assert main(["bench", "run", "--model", "find-tiny", *run_options, *options]) == 0
    assert "| grounding | cIoU |" in capsys.readouterr().out
    predictions = tmp_path / "run" / "predictions" / "grounding.json"
    asked = [str(predictions), "--task", "grounding", "--gt", str(world), *options]
    assert main(["bench", "validate", *asked]) == 0
    assert main(["bench", "score", *asked, "--out", str(tmp_path / "score.json")]) == 0
    assert main(["bench", "report", str(tmp_path / "score.json"), "--out", str(tmp_path / "p.html")]) == 0
    queries = ["bench", "queries", "--task", "grounding", "--gt", str(world), *options]
    assert main([*queries, "--out", str(tmp_path / "queries.json")]) == 0
    written, known = (json.loads(path.read_text()) for path in (tmp_path / "queries.json", predictions))
    assert written["queries"] == known["queries"]
    predictions.write_text(json.dumps({**known, "masks": known["masks"][1:]}))
    capsys.readouterr()
    assert main(["bench", "validate", *asked]) == 1
    assert "missing mask: grounding.json, query 0, entity 0" in capsys.readouterr().out
    assert main(["bench", "score", *asked, "--out", "-"]) == 2
