"""A checkpoint is refused, by the name of its file and with a fix, wherever it does not fit together."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from find.errors import FindError
from find.model.checkpoint import Checkpoint
from find.model.config import FINDConfig, InterfaceConfig
from find.model.model import FIND


class Small(nn.Module):
    """Stands for an interface: the checkpoint knows no more of it than its state dict."""

    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.linear = nn.Linear(2, width)
        self.scale = nn.Parameter(torch.ones(()))


CONFIG = FINDConfig(vision="random:tiny", language="random:tiny", interface=InterfaceConfig(width=8), shortest_side=96)
FINGERPRINTS = {"vision": "1" * 64, "language": "2" * 64}


@pytest.fixture
def folder(tmp_path) -> Path:
    Checkpoint(CONFIG, FINGERPRINTS, Small().state_dict(), "here").write(tmp_path / "model")
    return tmp_path / "model"


def read(folder: Path) -> Checkpoint:
    return Checkpoint.read(folder / "config.json", folder / "interface.safetensors")


def change_config(folder: Path, **changes: object) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def test_read_gives_what_was_written(folder):
    found, expected = read(folder), Small()
    assert found.config == CONFIG and found.foundations == FINGERPRINTS
    found.load_into(expected)
    for name, value in expected.state_dict().items():
        assert torch.equal(found.interface[name], value)


@pytest.mark.parametrize("name", ["config.json", "interface.safetensors"])
def test_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(FindError, match=f"model/{name} is missing; a model folder holds config.json and interface"):
        FIND.from_pretrained(folder)


@pytest.mark.parametrize("kept", [0, 4, 60, 0.5, 0.99])
def test_truncated_weights_are_named(folder, kept):
    file = folder / "interface.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[: kept if isinstance(kept, int) else int(kept * len(whole))])
    with pytest.raises(FindError, match=r"interface.safetensors is broken or truncated .* save the model again"):
        FIND.from_pretrained(folder)


@pytest.mark.parametrize("content", [b"", b'{"format": 1,', b"[1, 2]", b"\x00\xff"])
def test_broken_config_is_named(folder, content):
    (folder / "config.json").write_bytes(content)
    with pytest.raises(FindError, match=r"config\.json is not"):
        FIND.from_pretrained(folder)


def test_config_of_another_format_is_refused(folder):
    change_config(folder, format=99)
    with pytest.raises(FindError, match="not of this version's format 1; update"):
        FIND.from_pretrained(folder)


def test_misspelt_key_names_the_nearest_one(folder):
    change_config(folder, shortest_sid=3)
    with pytest.raises(FindError, match=r"config.json: unknown key 'shortest_sid'; did you mean 'shortest_side'\?"):
        FIND.from_pretrained(folder)
    with pytest.raises(FindError, match=r"here: unknown key 'heds'; did you mean 'heads'\?"):
        FINDConfig.from_dict({"interface": {"heds": 3}}, source="here")
    with pytest.raises(FindError, match="here: unknown key 'zzz'; it may have: vision, language"):
        FINDConfig.from_dict({"zzz": 3}, source="here")
    with pytest.raises(FindError, match="here: 5 is not a table of settings, which InterfaceConfig needs"):
        FINDConfig.from_dict({"interface": 5}, source="here")


def test_checkpoint_of_other_foundations_is_refused(folder):
    """The folder says that it was trained on another vision encoder than the one its config builds."""
    with pytest.raises(FindError, match=r"made for another vision encoder than 'random:tiny' .*111111111111, here"):
        FIND.from_pretrained(folder)
    read(folder).check_foundations(**FINGERPRINTS)
    with pytest.raises(FindError, match="another language encoder"):
        read(folder).check_foundations(vision="1" * 64, language="3" * 64)


def test_every_key_is_used_and_every_parameter_given(folder):
    file = folder / "interface.safetensors"
    weights = load_file(file)
    weights["lineer.weight"] = weights.pop("linear.weight")
    save_file(weights, file)
    with pytest.raises(FindError, match=r"does not fit its config.json: missing linear.weight; unused lineer.weight$"):
        read(folder).load_into(Small())


def test_wrong_shapes_are_named_with_both_shapes(folder):
    with pytest.raises(FindError, match=r"linear.weight is \(3, 2\), must be \(5, 2\)"):
        read(folder).load_into(Small(width=5))


def test_many_problems_are_counted_not_listed(folder):
    file = folder / "interface.safetensors"
    save_file(load_file(file) | {f"extra{k}": torch.zeros(1) for k in range(9)}, file)
    with pytest.raises(FindError, match=r"and 4 more$"):
        read(folder).load_into(Small())


def test_a_program_in_a_models_own_folder_is_not_run(folder):
    change_config(folder, vision="detectron2:{folder}/backbone.py")
    with pytest.raises(FindError, match=r"code in its own folder \(detectron2:\{folder\}/backbone\.py\)"):
        FIND.from_pretrained(folder)


def test_a_class_prompt_without_a_place_for_the_name_is_refused():
    with pytest.raises(FindError, match=r"class_prompt is 'a photo'; put \{\} where the class name belongs"):
        replace(CONFIG, class_prompt="a photo")
