"""Names that are not a model: a misspelt path is reported as such, not as a model of the hub."""

import pytest

from find.errors import CheckpointError
from find.model.finding import find_model
from find.model.location import model_folder


@pytest.mark.parametrize("name", ["models/find-focalt", "datasets/find", "spaces/find"])
def test_what_no_user_of_the_hub_is_called_is_a_folder(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match=f"there is no folder '{name}' in {tmp_path}; give the path") as error:
        model_folder(name)
    assert "hf download" not in str(error.value)


def test_a_name_below_a_folder_that_is_here_is_a_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "outputs" / "find-small").mkdir(parents=True)
    (tmp_path / "outputs" / "find-small" / "config.json").write_text("{}")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="there is no folder outputs/find-smal in") as error:
        find_model("outputs/find-smal")
    assert "whose models are find-small; and" in str(error.value) and "hf download" not in str(error.value)
    with pytest.raises(CheckpointError, match="which holds no models; and neither the hub nor its cache"):
        find_model("empty/find-small")
    with pytest.raises(CheckpointError, match="`hf download user/find-small`"):
        find_model("user/find-small")
