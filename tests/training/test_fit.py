"""`findvl fit` leaves a model, a checkpoint and curves behind, goes on where it stopped, and names what is misspelt."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_run import CONFIG

from find.cli.training import main
from find.errors import FindError
from find.model.model import FIND
from find.training.module import FINDModule
from find.training.optimisation import Progress


def steps(run: Path) -> list[int]:
    with (run / "metrics.csv").open(newline="") as file:
        return [int(row["step"]) for row in csv.DictReader(file) if row["train/loss"]]


def checkpoint(run: Path) -> dict:
    return torch.load(run / "last.ckpt", map_location="cpu", weights_only=False)


def test_fit_leaves_everything_and_goes_on(write_config, tmp_path, capsys):
    """Two steps, then two more from the checkpoint; any command takes the settings that it wrote."""
    run = tmp_path / "run"
    config = str(write_config())
    trained = main(["fit", "-c", config]).model.find
    assert steps(run) == [0, 1]
    assert (run / "curves.png").read_bytes().startswith(b"\x89PNG")
    saved = checkpoint(run)
    assert saved["global_step"] == 2
    assert all(".interface." in name for name in saved["state_dict"])
    assert len(saved["state_dict"]) == len(trained.interface.state_dict())

    loaded = FIND.from_pretrained(run / "model")
    for name, value in trained.interface.state_dict().items():
        assert torch.equal(loaded.interface.state_dict()[name], value), name
        assert torch.equal(saved["state_dict"][f"find.interface.{name}"], value), name

    main(["fit", "-c", config, "--trainer.max_epochs", "2", "--ckpt_path", str(run / "last.ckpt")])
    again = checkpoint(run)
    assert (again["epoch"], again["global_step"]) == (1, 4)
    moments = again["optimizer_states"][0]["state"].values()
    assert {int(moment["step"]) for moment in moments} == {4}
    assert steps(run) == [0, 1, 2, 3]
    assert again["find"]["seconds"] > saved["find"]["seconds"] > 0
    assert {file.name for file in tmp_path.iterdir()} == {"config.yaml", "run"}

    told = f"findvl test -c {run / 'config.yaml'} --weights {run / 'model'}"
    assert told in capsys.readouterr().out
    out = tmp_path / "figures.json"
    main([*told.split()[1:], "--tasks", "panoptic", "--limit", "1", "--out", str(out)])
    text = capsys.readouterr().out
    assert "panoptic" in text and str(out) in text and str(out.with_suffix(".md")) in text


def test_checkpoint_of_another_model_is_refused(data, tmp_path):
    module = FINDModule(CONFIG)
    module.progress = Progress(steps=1, minutes=None)
    checkpoint = {"state_dict": module.state_dict()}
    module.on_save_checkpoint(checkpoint)
    FINDModule(CONFIG).on_load_checkpoint(checkpoint)
    with pytest.raises(FindError, match=r"another model\.config"):
        FINDModule(replace(CONFIG, class_prompt="a {}")).on_load_checkpoint(checkpoint)
    other = FINDModule(CONFIG)
    other.foundations = module.foundations | {"vision": "0" * 64}
    with pytest.raises(FindError, match="made for another vision encoder"):
        other.on_load_checkpoint(checkpoint)
    checkpoint["state_dict"].pop("find.interface.logit_scale")
    with pytest.raises(FindError, match="missing logit_scale"):
        FINDModule(CONFIG).on_load_checkpoint(checkpoint)


def test_truncated_checkpoint_is_named(write_config, tmp_path):
    file = tmp_path / "last.ckpt"
    torch.save({"state_dict": {"a": torch.zeros(1000)}}, file)
    file.write_bytes(file.read_bytes()[:2000])
    with pytest.raises(FindError, match=r"last\.ckpt is truncated"):
        main(["fit", "-c", str(write_config()), "--ckpt_path", str(file)])


def test_nothing_is_validated_without_trained_weights(write_config):
    with pytest.raises(FindError, match=r"give --ckpt_path or --model\.weights"):
        main(["validate", "-c", str(write_config())])


def test_misspelt_key_of_a_config_names_the_nearest_one(write_config, capsys):
    def misspell(settings):
        settings["model"]["config"]["interface"]["widht"] = 3

    with pytest.raises(SystemExit):
        main(["fit", "-c", str(write_config(misspell))])
    assert "'model.config.interface.widht'; did you mean 'model.config.interface.width'?" in capsys.readouterr().err


def test_misspelt_option_is_no_abbreviation_of_another(write_config, capsys):
    """argparse would take it for --model.learning_rate."""
    with pytest.raises(SystemExit):
        main(["fit", "-c", str(write_config()), "--model.learning_rat", "3"])
    assert "--model.learning_rat 3; did you mean 'model.learning_rate'?" in capsys.readouterr().err


def test_parts_of_a_run_are_named_by_class_in_the_config(write_config):
    """Up to the building: the folder of the data does not exist."""

    def change(settings):
        settings["model"]["mask_sampling"] = {
            "class_path": "find.tasks.points.RandomPoints",
            "init_args": {"points": 300},
        }
        settings["model"]["loss_weights"] = {"caption": 3.0}
        settings["data"]["transforms"] = [{"class_path": "find.data.transforms.ColorJitter"}]
        settings["data"]["root"] = "no/such/folder"

    with pytest.raises(FindError, match="no/such/folder: there is no such folder"):
        main(["fit", "-c", str(write_config(change))])
