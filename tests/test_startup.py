"""Claims about starting: a search imports what the shipped model needs, and wrong arguments are refused before that."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from find.cli.main import TRAINING_COMMANDS, main

NOT_NEEDED = {
    "find.training.module",
    "huggingface_hub",
    "jsonargparse",
    "lance_namespace_urllib3_client.api",
    "lightning",
    "matplotlib",
    "open_clip",
    "scipy",
    "sympy",
    "timm",
    "torch._dynamo",
    "torchvision",
    "transformers",
}
"""Libraries and parts of libraries that the tiny pair does without; most take longer than all that it does."""
HEAVY = {"torch", "lancedb", "pyarrow", "tokenizers", "safetensors"}

REPORT = """
import json, sys
from find.cli.main import main
statuses = [[main(arguments), sorted(sys.modules)] for arguments in json.loads(sys.argv[1])]
print(json.dumps(statuses), file=sys.stderr)
"""


@pytest.fixture(scope="module")
def album(tmp_path_factory):
    """An album of two photos that the shipped model has embedded, beside the photos."""
    folder = tmp_path_factory.mktemp("album")
    (folder / "photos").mkdir()
    pixels = np.random.default_rng(0)
    for name in ("a.png", "b.png"):
        Image.fromarray(pixels.integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(folder / "photos" / name)
    assert main(["index", str(folder / "photos"), str(folder / "my.album")]) == 0
    return folder


def _run(*commands):
    """Status of each command and the modules that were imported by its end, in one fresh process; and what it said."""
    done = subprocess.run(
        [sys.executable, "-c", REPORT, json.dumps([[*map(str, command)] for command in commands])],
        capture_output=True,
        text=True,
        check=True,
    )
    *errors, report = done.stderr.splitlines()
    return json.loads(report), errors, done.stdout


def _imported(modules, names):
    return sorted(name for name in names if name in modules)


def test_search_and_segment_import_only_what_the_tiny_pair_needs(album):
    photo = album / "photos" / "a.png"
    runs, _, answers = _run(
        ["search", album / "my.album", "--query", "{a red dog} on the grass", "-k", 1],
        ["segment", photo, "--query", "{a red dog}"],
    )
    assert [status for status, _ in runs] == [0, 0]
    assert "a red dog: score" in answers and "1. " in answers
    assert _imported(runs[1][1], HEAVY) == sorted(HEAVY)  # else the list below says nothing
    assert _imported(runs[1][1], NOT_NEEDED) == []


def test_what_arguments_tell_is_told_before_torch_is_imported(album):
    search = ["search", album / "my.album", "--query"]
    cases = {
        "this phrase is never closed": [*search, "{a dog"],
        "no column widht": [*search, "a dog", "--where", "widht > 1"],
        "no such album": ["search", album / "other.album", "--query", "a dog"],
        "have 128 values": [*search, "a dog", "--dim", "129"],
        "no device called 'cuba'": [*search, "a dog", "--device", "cuba"],
        "no model 'find-tini'": [*search, "a dog", "--weights", "find-tini"],
        "there is no folder 'models/find-x'": [*search, "a dog", "--weights", "models/find-x"],
        "config.json is missing": [*search, "a dog", "--weights", album],
        "gone.png: no such image file": [*search, "like [gone.png@1,2]"],
        "no such image": ["segment", album / "gone.png", "--query", "{a dog}"],
        "nothing: no such folder": ["index", album / "nothing", album / "new.album"],
        "there is no device": ["index", album / "photos", album / "new.album", "--device", "mps:x"],
        "those that ship with FIND are": ["fit", "--trainer.max_epochs", "1"],
    }
    runs, errors, _ = _run(*cases.values())
    assert len(errors) == len(cases)
    for (expected, _), (status, modules), error in zip(cases.items(), runs, errors, strict=True):
        assert status == 2 and expected in error
        assert _imported(modules, HEAVY | NOT_NEEDED) == []


@pytest.mark.parametrize("command", TRAINING_COMMANDS)
def test_help_of_training_needs_no_lightning_and_tells_options_that_there_are(command, capsys):
    (status, modules), *_ = _run([command, "--help"])[0]
    assert status == 0 and _imported(modules, HEAVY | NOT_NEEDED) == []
    capsys.readouterr()
    assert main([command, "--help"]) == 0
    expected = set(re.findall(r"^  (?:-c|--[\w.]+)", capsys.readouterr().out, flags=re.MULTILINE))
    with pytest.raises(SystemExit):
        main([command, "--help-all"])
    everything = capsys.readouterr().out
    assert len(expected) > 8 and [o for o in expected - {"  --help"} if o.strip() not in everything] == []
