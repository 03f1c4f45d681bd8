"""Claims about the configs that ship: found by name wherever the program runs."""

import pytest

from find.errors import FindError
from find.training.configs import config_folder, config_names, find_config


@pytest.mark.parametrize("name", ["tiny", "tiny.yaml", "configs/tiny.yaml", "configs/tiny"])
def test_a_shipped_config_is_found_from_anywhere(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_config(name) == config_folder() / "tiny.yaml"


def test_a_file_here_goes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text("seed_everything: 1")
    assert find_config("tiny.yaml").resolve() == tmp_path / "tiny.yaml"


def test_a_missing_one_is_told_with_those_that_ship(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FindError, match=r"none\.yaml.*tiny") as error:
        find_config("none.yaml")
    assert all(name in str(error.value) for name in config_names())
