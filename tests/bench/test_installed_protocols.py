"""`findvl bench run --tasks` takes the protocols of installed packages by the names that they declare."""

import json
import sys
from pathlib import Path

import pytest

from find.cli.main import main
from find.evaluation.protocol import EvaluationProtocol, Measured, Metric
from find.utils.entry_points import declared


class Covered(EvaluationProtocol):
    """How much of the images the mask of "a dog" covers."""

    name = "covered"

    def run(self, system, data, run):
        def asked(image_ids):
            answers = system.ground([data.image(image_id) for image_id in image_ids], [["a dog"]] * len(image_ids))
            return [float(masks[0].mask.mean()) for masks in answers]

        shares = run.in_order(run.image_ids, asked, title="covered")
        return Measured("Covered", [Metric("share")], {"share": 100 * sum(shares) / len(shares)}, records=shares)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A package that declares the protocol."""
    info = tmp_path / "package" / "covering-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: covering\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[find.protocols]\ncovered = {__name__}:Covered\n")
    monkeypatch.syspath_prepend(tmp_path / "package")
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])
    declared.cache_clear()
    yield
    declared.cache_clear()


def bench(world: Path, out: Path, *options: str) -> int:
    return main(
        ["bench", "run", "--root", str(world), "--split", "val2017", "--limit", "2", "--out", str(out), *options]
    )


def test_an_installed_protocol_is_run_beside_the_published_ones(
    world: Path, tmp_path: Path, installed, capsys: pytest.CaptureFixture
):
    assert bench(world, tmp_path / "run", "--model", "find-tiny", "--tasks", "grounding,covered") == 0
    printed = capsys.readouterr().out
    assert "| grounding | cIoU |" in printed and "| covered | share |" in printed
    figures = json.loads((tmp_path / "run" / "results.json").read_text())
    assert 0 < figures["covered"]["share"] < 100 and figures["grounding"] is not None and figures["retrieval"] is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--model", "find-tiny", "--tasks", "coverd"), "there is no 'coverd'; did you mean covered?; panoptic, "),
        (("--model", "frozen-pair:find-tiny", "--tasks", "covered"),
         "frozen-pair:find-tiny does not support all of covered: it has no method 'ground'"),
        (("--model", "find-tiny", "--tasks", "covered", "--save-predictions"), "published tasks only: run covered"),
    ],
    ids=["misspelt", "a system that cannot", "to be saved"],
)  # fmt: skip
def test_what_cannot_be_run_is_one_clear_error(
    world: Path, tmp_path: Path, installed, capsys: pytest.CaptureFixture, options: tuple[str, ...], message: str
):
    try:
        status = bench(world, tmp_path / "run", *options)
    except SystemExit as stopped:
        status = stopped.code
    expected = capsys.readouterr().err
    assert status == 2 and message in expected and expected.count("error:") == 1
    assert not (tmp_path / "run").exists()
