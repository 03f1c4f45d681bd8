"""Claims about the command `findvl`: help at once, answers as files, and one line for what is wrong."""

import json
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as coco_mask

from find.cli.main import main
from find.model.config import FINDConfig, InterfaceConfig
from find.model.model import FIND


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A saved model with untrained weights: its answers are poor, but they are answers."""
    sizes = InterfaceConfig(
        width=32,
        heads=2,
        feedforward=32,
        layers=1,
        queries=6,
        semantic_width=16,
        mask_width=8,
        decoder_width=32,
        decoder_layers=1,
        region_points=8,
        residual=False,
    )
    torch.manual_seed(0)
    config = FINDConfig(
        vision="random:tiny", language="random:tiny", interface=sizes, shortest_side=64, longest_side=128
    )
    folder = tmp_path_factory.mktemp("weights")
    FIND.build(config).save_pretrained(folder)
    return str(folder)


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    pixels = np.random.default_rng(0)
    for name, (height, width) in {"a.png": (70, 90), "b.jpg": (100, 64), "c.png": (64, 64)}.items():
        Image.fromarray(pixels.integers(0, 255, (height, width, 3), dtype=np.uint8)).save(folder / name)
    return folder


def _run(capsys, *arguments):
    status = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_help_is_immediate_and_loads_no_heavy_library():
    code = (
        "import sys; from find.cli.main import build_parser; build_parser().format_help();"
        "print([name for name in ('torch', 'numpy', 'PIL', 'rich', 'lightning') if name in sys.modules])"
    )
    begin = time.perf_counter()
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
    assert time.perf_counter() - begin < 2  # 0.1 s on an idle machine


@pytest.mark.parametrize(
    "command", [[], ["segment"], ["index"], ["search"], ["shell"], ["data", "world"], ["data", "check"]]
)
def test_every_command_has_help(capsys, command):
    with pytest.raises(SystemExit) as stop:
        main([*command, "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith("usage: findvl")
    assert "example" in text


def test_version_is_that_of_the_package(capsys):
    from importlib.metadata import version

    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"findvl {version('findvl')}\n"


def test_segment_writes_masks_of_all_entities_at_the_size_of_the_image(capsys, photos, tmp_path, weights):
    query = f"a {{red dog}} near [{photos / 'b.jpg'}@5,5,40,60]"
    out = tmp_path / "deep" / "found.json"
    png = tmp_path / "found.png"
    status, text, _ = _run(
        capsys, "segment", photos / "a.png", "--query", query, "--weights", weights, "--json", out, "--png", png
    )
    assert status == 0
    record = json.loads(out.read_text())
    assert record["size"] == [70, 90] and record["query"] == query
    assert [entity["text"] for entity in record["entities"]] == ["red dog", "[b.jpg]"]
    for entity in record["entities"]:
        assert 0 <= entity["score"] <= 1
        assert coco_mask.decode(entity["segmentation"]).shape == (70, 90)
    assert len(text.splitlines()) == 2
    with Image.open(png) as drawn:
        assert drawn.width == 480 and drawn.height > 480 * 70 / 90  # untrained, it is unsure, and says so above


def test_json_on_stdout_is_only_json(capsys, photos, weights):
    status, text, _ = _run(
        capsys, "segment", photos / "a.png", "--query", "{a dog}", "--weights", weights, "--json", "-"
    )
    assert status == 0
    assert len(json.loads(text)["entities"]) == 1


def test_words_never_seen_are_told(capsys, photos, weights):
    status, text, errors = _run(
        capsys, "segment", photos / "a.png", "--query", "{a blorf dog}", "--weights", weights, "--json", "-"
    )
    assert status == 0
    record = json.loads(text)
    assert record["unknown_words"] == record["entities"][0]["unknown_words"] == ["blorf"]
    assert record["entities"][0]["doubtful"] is True
    assert "warning" in errors and "blorf" in errors
    _, text, _ = _run(capsys, "segment", photos / "a.png", "--query", "{a blorf dog}", "--weights", weights)
    assert 'doubtful: unknown: "blorf"' in text


def test_index_then_search(capsys, photos, tmp_path, weights):
    album = tmp_path / "my.album"
    (photos / "broken.jpg").write_bytes(b"no image")
    status, text, errors = _run(capsys, "index", photos, album, "--weights", weights)
    assert status == 0
    assert "3 images (3 added, 1 skipped)" in text and "broken.jpg" in errors
    (photos / "plain").mkdir()
    assert album.stat().st_mode == (photos / "plain").stat().st_mode

    out, png = tmp_path / "hits.json", tmp_path / "hits.png"
    status, text, _ = _run(
        capsys, "search", album, "--query", "{a dog} there", "-k", 2, "--weights", weights, "--json", out, "--png", png
    )
    assert status == 0
    hits = json.loads(out.read_text())["hits"]
    assert [hit["rank"] for hit in hits] == [1, 2]
    assert hits[0]["score"] >= hits[1]["score"]
    first = hits[0]
    assert first["score"] == pytest.approx(first["image_term"] + 0.5 * first["entities"][0]["term"], abs=2e-3)
    with Image.open(first["path"]) as image:
        assert first["entities"][0]["segmentation"]["size"] == [image.height, image.width]
    lines = text.splitlines()
    assert len(lines) == 2
    assert f"{first['score']:.3f} " in lines[0] and f"a dog {first['entities'][0]['term']:.3f}" in lines[0]
    assert png.is_file()


def test_a_photo_that_is_gone_is_told_and_the_rest_is_written(capsys, photos, tmp_path, weights):
    album, out, png = tmp_path / "my.album", tmp_path / "hits.json", tmp_path / "hits.png"
    _run(capsys, "index", photos, album, "--weights", weights)
    (photos / "a.png").unlink()
    Image.new("RGB", (30, 30)).save(photos / "c.png")
    query = ("--query", "{a dog} there", "--weights", weights)
    status, text, errors = _run(capsys, "search", album, *query, "--json", out, "--png", png)
    assert status == 0 and len(text.splitlines()) == 3
    warned = [line for line in errors.splitlines() if "run findvl index again" in line]
    assert len(warned) == 2 and all(any(f"/{name} is gone" in line for line in warned) for name in ("a.png", "c.png"))
    codes = {hit["path"][-5:]: hit["entities"][0]["segmentation"] for hit in json.loads(out.read_text())["hits"]}
    assert codes["a.png"] is None and codes["c.png"] is None and codes["b.jpg"]["size"] == [100, 64]
    assert png.is_file()
    status, _, errors = _run(capsys, "search", album, *query)
    assert status == 0 and "gone" not in errors  # nothing of theirs was asked for


def test_search_without_entities_ranks_by_the_sentence(capsys, photos, tmp_path, weights):
    album = tmp_path / "my.album"
    _run(capsys, "index", photos, album, "--weights", weights)
    status, text, _ = _run(
        capsys, "search", album, "--query", "a dog", "--weights", weights, "--json", "-", "--png", tmp_path / "x.png"
    )
    hits = json.loads(text)["hits"]
    assert status == 0 and len(hits) == 3
    assert all(hit["entities"] == [] and hit["score"] == hit["image_term"] for hit in hits)


def test_world_then_check(capsys, tmp_path):
    status, text, _ = _run(capsys, "data", "world", tmp_path / "world", "--images", 4, "--val-images", 3, "--seed", 5)
    assert status == 0
    assert (
        "4 train and 3 val images of seed 5" in text
        and "findvl fit -c tiny --data.root" in text
        and "findvl search" in text
    )
    status, text, _ = _run(capsys, "data", "check", tmp_path / "world", "--json")
    assert status == 0
    assert json.loads(text)["errors"] == 0
    next((tmp_path / "world" / "val2017").glob("*.jpg")).unlink()
    status, text, _ = _run(capsys, "data", "check", tmp_path / "world", "--split", "val2017")
    assert status == 1 and "1 errors" in text


BAD_INPUT = {
    "no entity": (["segment", "{photos}/a.png", "--query", "only words"], "no entity"),
    "missing image": (["segment", "{photos}/none.png", "--query", "{{a dog}}"], "none.png"),
    "broken image": (["segment", "{photos}/broken.jpg", "--query", "{{a dog}}"], "broken.jpg"),
    "unclosed brace": (["segment", "{photos}/a.png", "--query", "{{a dog"], "{"),
    "point outside": (["segment", "{photos}/a.png", "--query", "[{photos}/a.png@500,5]"], "500"),
    "missing region": (["search", "{photos}/x.album", "--query", "[{photos}/gone.png@5,5]"], "gone.png"),
    "missing weights": (["index", "{photos}", "{photos}/x.album", "--weights", "{photos}/nothing"], "nothing"),
    "missing album": (["search", "{photos}/x.album", "--query", "{{a dog}}"], "x.album"),
    "missing folder": (["index", "{photos}/nowhere", "{photos}/x.album"], "nowhere"),
    "folder of nothing": (["data", "check", "{photos}"], "photos"),
    "no picture format": (["segment", "{photos}/a.png", "--query", "{{a dog}}", "--png", "{photos}/x.xyz"], ".webp"),
    "folder as output": (["search", "{photos}/x.album", "--query", "{{a dog}}", "--json", "{photos}"], "is a folder"),
    "missing config": (["fit", "-c", "tinny"], "official/find_focall_llama, official/find_focalt_llama, own, tiny"),
    "missing data": (["fit", "-c", "tiny", "--data.root", "{photos}/nowhere"], "nowhere"),
    "no data": (["test", "-c", "configs/tiny.yaml", "--data.root", "{photos}"], "annotations/"),
    "unknown device": (["segment", "{photos}/a.png", "--query", "{{a dog}}", "--device", "abacus"], "abacus"),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_one_line_and_status_2(capsys, photos, weights, case):
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff not a photo")
    arguments, named = BAD_INPUT[case]
    arguments = [argument.format(photos=photos) for argument in arguments]
    if arguments[0] in ("segment", "index", "search") and "--weights" not in arguments:
        arguments += ["--weights", weights]
    status, text, errors = _run(capsys, *arguments)
    assert status == 2
    assert text == ""
    assert errors.startswith("error: ") and errors.count("\n") == 1
    assert named in errors


MISSPELT = {
    "--weights": ["segment", "a.png", "--wieghts", "find-tiny"],
    "segment": ["segmnt", "a.png"],
    "--val-images": ["data", "world", "out", "--val_images=3"],
    "'data.root'": ["fit", "-c", "tiny", "--data.rot", "x"],
}


@pytest.mark.parametrize("meant", MISSPELT)
def test_what_is_misspelt_gets_one_line_with_what_was_meant(capsys, meant):
    with pytest.raises(SystemExit) as stop:
        main(MISSPELT[meant])
    assert stop.value.code == 2
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1 and f"did you mean {meant}?" in errors


def test_album_of_other_weights_is_refused(capsys, photos, tmp_path, weights):
    album = tmp_path / "my.album"
    _run(capsys, "index", photos, album, "--weights", weights)
    other = FIND.from_pretrained(weights)
    with torch.no_grad():
        next(other.interface.parameters()).add_(1)
    other.save_pretrained(tmp_path / "other")
    status, _, errors = _run(capsys, "search", album, "--query", "{a dog}", "--weights", tmp_path / "other")
    assert status == 2 and "other weights" in errors
