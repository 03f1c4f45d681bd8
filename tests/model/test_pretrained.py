"""A model that must have been made with some config: the comparison is cheap, and foundations are built once."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from small_run import CONFIG

from find.errors import FindError
from find.foundations.tiny import FOLDER
from find.model import pretrained
from find.model.model import FIND
from find.training.module import FINDModule


@pytest.fixture(scope="module")
def trained() -> FIND:
    return FIND.build(CONFIG)


@pytest.fixture
def folder(trained, tmp_path) -> Path:
    trained.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def built(monkeypatch) -> Counter:
    """How often each foundation was built since, by its spec."""
    counts = Counter()

    def count(name: str) -> None:
        build = getattr(pretrained, name)

        def counted(spec: str, **options: object) -> object:
            counts[name, spec] += 1
            return build(spec, **options)

        monkeypatch.setattr(pretrained, name, counted)

    count("load_vision")
    count("load_language")
    return counts


ONCE = {("load_vision", "random:tiny"): 1, ("load_language", "random:tiny"): 1}


def test_a_run_from_weights_builds_foundations_once(folder, built):
    assert FINDModule(CONFIG, weights=str(folder)).find.folder == folder
    assert built == ONCE


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"class_prompt": "a {}"}, "class_prompt"),
        ({"interface": replace(CONFIG.interface, layers=2)}, "interface"),
        ({"vision": f"random:open_clip:local-dir:{FOLDER}", "language_dtype": "bfloat16"}, "vision, language_dtype"),
        ({"language": f"random:open_clip:local-dir:{FOLDER}#1"}, "language"),
    ],
)
def test_another_config_is_refused_before_anything_is_built(folder, built, change, named):
    with pytest.raises(FindError, match=rf"were made with another config \({named} differ\)"):
        FINDModule(replace(CONFIG, **change), weights=str(folder))
    assert not built


def test_other_weights_of_a_foundation_are_refused_by_their_fingerprint(folder, built):
    with pytest.raises(FindError, match="made for another vision encoder"):
        FIND.from_pretrained(folder, config=replace(CONFIG, vision="tiny"))
    assert built == {("load_vision", "tiny"): 1, ("load_language", "random:tiny"): 1}


@pytest.mark.parametrize("end", ["", "#21"])
def test_a_foundation_without_a_revision_is_of_the_models_own(end):
    """The commit that was noted in training is built, not the hub's newest; a revision that is asked for is."""
    noted = replace(CONFIG, language=f"transformers:owner/name@{'0' * 40}{end}")
    for asked, built in ((f"owner/name{end}", noted.language), (f"owner/name@main{end}",) * 2):
        wanted = replace(CONFIG, language=f"transformers:{asked}")
        assert pretrained.as_wanted(wanted, noted, Path()).language.endswith(built)


def test_a_shipped_models_config_fits_it(built):
    own = FIND.from_pretrained().config
    assert FIND.from_pretrained(config=own).config == own


def test_a_saved_model_has_a_card_that_says_how_to_load_it_and_keeps_one_that_is_there(tmp_path):
    model = FIND.from_pretrained("find-tiny")
    assert model.save_pretrained(tmp_path / "mine") is None
    card = tmp_path / "mine" / "README.md"
    assert 'FIND.from_pretrained("mine")' in card.read_text() and "library_name: find" in card.read_text()
    card.write_text("my own words")
    model.save_pretrained(tmp_path / "mine", repo_id="me/mine")
    assert card.read_text() == "my own words"
