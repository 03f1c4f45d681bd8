"""Every example of the README and of docs/ runs, against a small world instead of a large one; the site builds."""

import re
import shlex
from pathlib import Path
from typing import NamedTuple

import pytest

from find.cli.main import main

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SMALLER = {
    "--images 500 --val-images 200": "--images 8 --val-images 6",
    "--data.root data/world\n": "--data.root data/world --trainer.max_steps 1 --data.batch_size 4 --model.minutes 9\n",
    '"--trainer.max_steps", "400"': '"--trainer.max_steps", "1", "--data.batch_size", "4"',
    "--out outputs/metrics.json": "--out outputs/metrics.json --limit 4",
    "--limit 50": "--limit 4",
    "limit=50": "limit=4",
}
"""What the examples take long for, and what is run instead."""


class Example(NamedTuple):
    page: Path
    number: int
    language: str
    code: str

    @property
    def name(self) -> str:
        return f"{self.page.name}, block {self.number}"


def _examples() -> list[Example]:
    """In their order: the README's come first and make what the pages' use."""
    pattern = re.compile(r"^```(bash|python)\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)
    return [
        Example(page, number, *block)
        for page in PAGES
        for number, block in enumerate(pattern.findall(page.read_text(encoding="utf-8")))
    ]


EXAMPLES = _examples()


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    folder = tmp_path_factory.mktemp("docs")
    (folder / "configs").symlink_to(ROOT / "configs")
    return folder


@pytest.mark.parametrize("page", [ROOT / "CONTRIBUTING.md", *PAGES], ids=lambda page: page.name)
def test_files_that_a_page_names_exist(page):
    named = re.findall(
        r"`((?:find|examples|scripts|benchmark|tests|configs)/[\w./-]+)`", page.read_text(encoding="utf-8")
    )
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_what_is_made_smaller_is_in_the_examples():
    code = "".join(example.code for example in EXAMPLES)
    assert [text for text in SMALLER if text not in code] == []


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_example_runs(example: Example, work: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(work)
    code = example.code
    for text, smaller in SMALLER.items():
        code = code.replace(text, smaller)
    if example.language == "python":
        exec(compile(code, example.name, "exec"), {"__name__": "example"})
        return
    for line in code.replace("\\\n", " ").splitlines():
        program, *arguments = shlex.split(line)
        assert program == "findvl"
        assert main(arguments) == 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_a_page_names_are_there(page: Path):
    text = page.read_text(encoding="utf-8")
    linked = [link for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text) if "://" not in link]
    named = re.findall(r"`((?:scripts|configs|find|docs|benchmark|tests)/[\w./-]+)`", text)
    missing = [name for name in linked if not (page.parent / name).exists()]
    missing += [name for name in named if not (ROOT / name).exists()]
    assert missing == []


def test_the_readme_is_read_in_three_minutes():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_the_site_builds_without_a_broken_link(tmp_path: Path):
    commands = pytest.importorskip("mkdocs.commands.build", reason="needs: pip install 'findvl[docs]'")
    from mkdocs.config import load_config

    config = load_config(str(ROOT / "mkdocs.yml"), site_dir=str(tmp_path / "site"), strict=True)
    config.plugins.on_startup(command="build", dirty=False)
    commands.build(config)  # strict: a warning, such as a link to nowhere, ends it
    pages = {page.relative_to(tmp_path / "site").as_posix() for page in (tmp_path / "site").glob("*.html")}
    assert pages == {f"{page.stem}.html" for page in PAGES[1:]} | {"404.html"}
    assert "segment" in (tmp_path / "site" / "api.html").read_text(encoding="utf-8")
