"""The README's examples do run, in their order, against a small world instead of a large one."""

import re
import shlex
from pathlib import Path

import pytest

from find.cli.main import main

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(bash|python)\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)

SMALLER = {
    "--images 20000 --val-images 500": "--images 8 --val-images 6",
    "--data.root data/world\n": "--data.root data/world --trainer.max_steps 1 --data.batch_size 4 --model.minutes 9\n",
    '"--model.minutes", "6"': '"--trainer.max_steps", "1", "--data.batch_size", "4"',
    "--out outputs/metrics.json": "--out outputs/metrics.json --limit 4",
    "--limit 50": "--limit 4",
    "limit=50": "limit=4",
}
"""What the examples take long for, and what is run instead."""


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    folder = tmp_path_factory.mktemp("readme")
    (folder / "configs").symlink_to(ROOT / "configs")
    return folder


def test_what_is_made_smaller_is_in_the_readme():
    code = "".join(block for _, block in BLOCKS)
    assert [text for text in SMALLER if text not in code] == []


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_example_runs(number, work, monkeypatch):
    monkeypatch.chdir(work)
    language, code = BLOCKS[number]
    for text, smaller in SMALLER.items():
        code = code.replace(text, smaller)
    if language == "python":
        exec(compile(code, f"README.md, block {number}", "exec"), {"__name__": "readme"})
        return
    for line in code.replace("\\\n", " ").splitlines():
        program, *arguments = shlex.split(line)
        assert program == "findvl"
        assert main(arguments) == 0


def test_files_that_the_readme_names_are_there():
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", TEXT)
    named = re.findall(r"`((?:scripts|configs|find|docs)/[\w./-]+)`", TEXT)
    missing = [name for name in [*pictures, *named, "scripts/demo", "scripts/test"] if not (ROOT / name).exists()]
    assert missing == []
