"""Claims about configs/coco: each recipe's commands are real ones, its foundations can be built, and it trains."""

import csv
import json
import os
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from transformers import DINOv3ViTConfig, SwinConfig

from find.cli.main import build_parser
from find.cli.training import FINDCLI, FINDTrainer, main
from find.data.coco import CocoFolder
from find.data.prepare_coco import COCO_2017
from find.foundations import load_vision
from find.foundations.tiny import FOLDER
from find.model.config import FINDConfig
from find.model.model import FIND
from find.query.query import Phrase, Query, Region
from find.training.configs import config_folder
from find.training.datamodule import FindDataModule
from find.training.module import FINDModule
from find.utils.precision import choose_precision

RECIPES = sorted((config_folder() / "coco").glob("*.yaml"))
HOME = Path(__file__).resolve().parents[2]
VIT = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
SWIN = {"embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 2, 2, 4], "window_size": 4, "image_size": 64}
SMALL = {
    "width": 32, "heads": 4, "feedforward": 48, "layers": 2, "queries": 12, "semantic_width": 24, "mask_width": 16,
    "decoder_width": 32, "decoder_layers": 1, "region_points": 8, "pair_width": 8, "tagger_width": 8, "match_width": 8,
}  # fmt: skip


class Parsed(FINDCLI):
    """Reads arguments as `findvl fit` does, and builds nothing."""

    def instantiate_classes(self) -> None: ...

    def _run_subcommand(self, subcommand: str) -> None: ...


def parse(arguments: list[str]):
    options = {"trainer_class": FINDTrainer, "seed_everything_default": 0, "parser_kwargs": {"prog": "findvl"}}
    return Parsed(FINDModule, FindDataModule, args=arguments, **options).config


def commands(recipe: Path) -> list[list[str]]:
    """The words after `findvl` of each command in the comments above the YAML."""
    head = re.sub(r" \\\n#\s+", " ", recipe.read_text(encoding="utf-8").partition("seed_everything")[0])
    lines = (line[1:].strip() for line in head.splitlines())
    return [shlex.split(line.partition("findvl ")[2]) for line in lines if re.match(r"(findvl|torchrun|srun) ", line)]


def test_there_are_recipes_and_each_shows_the_whole_way():
    assert len(RECIPES) >= 4
    for recipe in RECIPES:
        said = [" ".join(words[:2]) for words in commands(recipe)]
        assert [one for one in said if one.startswith("data")] == ["data prepare", "data encode-text"], recipe.name
        assert sum(one == "fit -c" for one in said) >= 4 and "test -c" in said
        head = recipe.read_text(encoding="utf-8")
        assert re.search(r"# Memory: about \d+ GB on each GPU", head), recipe.name


@pytest.fixture
def folder_of_coco(shared, tmp_path, monkeypatch):
    """Where the commands are given: datasets/coco is there."""
    monkeypatch.chdir(tmp_path)
    Path("datasets").mkdir()
    os.symlink(shared / "coco-sample" / "coco", "datasets/coco")


def test_every_command_at_a_head_is_understood(folder_of_coco):
    first, *others = RECIPES
    for words in commands(first):
        if words[0] == "data":
            assert str(build_parser().parse_args(words).root) == "datasets/coco"
        else:
            assert parse(words)[words[0]].trainer.use_distributed_sampler is False
    known = [[word.replace(first.stem, "NAME") for word in words] for words in commands(first)]
    for other in others:
        assert [[word.replace(other.stem, "NAME") for word in words] for words in commands(other)] == known


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda file: file.stem)
def test_a_recipe_is_read_as_it_is_written(recipe, folder_of_coco):
    options = parse(["fit", "-c", f"coco/{recipe.stem}"]).fit
    written = yaml.safe_load(recipe.read_text(encoding="utf-8"))
    assert options.trainer.default_root_dir == f"outputs/{recipe.stem}"
    for name, value in written["model"]["config"].items():
        read = options.model.config[name]
        assert read.as_dict() | value == read.as_dict() if isinstance(value, dict) else read == value


def test_the_size_at_the_head_is_that_of_the_downloads():
    archives = {one for split in COCO_2017.splits for one in (split.images, split.maps, split.annotations[0].archive)}
    size = sum(one.size for one in archives) / 1e9
    assert all(f"({size:.1f} GB" in recipe.read_text() for recipe in RECIPES)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda file: file.stem)
def test_its_foundations_are_built_from_their_real_configs(recipe, tmp_path, monkeypatch):
    """On the meta device, where no weights are needed: the layer that is read is there, pairs share a space."""
    monkeypatch.syspath_prepend(HOME / "benchmark")
    from foundations import TRANSFORMERS
    from language_encoders import kept

    settings = yaml.safe_load(recipe.read_text())
    config = FINDConfig.from_dict(settings["model"]["config"], source=recipe.name)
    language = kept(config.language)
    name = config.vision.partition(":")[2]
    if name in TRANSFORMERS:
        TRANSFORMERS[name].save_pretrained(tmp_path)
        spec = f"random:transformers:{tmp_path}"
    else:
        spec = f"random:open_clip:{name.partition('/')[0]}"
    with torch.device("meta"):
        vision = load_vision(spec)
    parameters = sum(weight.numel() for weight in vision.parameters())
    head = recipe.read_text(encoding="utf-8")
    assert f"{parameters / 1e6:,.0f} M parameters" in head and f"{language.parameters / 1e6:,.0f} M parameters" in head
    sides = [
        step["init_args"]["size"] for step in settings["data"]["transforms"] if "size" in step.get("init_args", {})
    ]
    assert sides and all(side % vision.divisor == 0 for side in sides)


@pytest.fixture
def shrink(tmp_path, monkeypatch, shared):
    """Writes what makes a recipe small, as a config that comes after it: the same libraries and kinds of models."""
    monkeypatch.syspath_prepend(HOME / "tests" / "foundations")
    from text_models import write_text_model

    def pair(recipe: str) -> tuple[str, str]:
        texts, towers = tmp_path / "texts", tmp_path / "towers"
        if recipe == "siglip2":
            folder = write_text_model("siglip", texts)
            config = json.loads((folder / "config.json").read_text())
            config["text_config"]["projection_size"] = config["vision_config"]["hidden_size"]
            (folder / "config.json").write_text(json.dumps(config))
            return f"random:transformers:{folder}", f"random:transformers:{folder}"
        if recipe == "convnextl_openclip":
            towers.mkdir()
            config = json.loads((FOLDER / "open_clip_config.json").read_text(encoding="utf-8"))
            tower = {"timm_model_name": "test_convnext", "timm_pool": "", "timm_proj": "linear", "image_size": 96}
            config["model_cfg"]["vision_cfg"] = tower
            (towers / "open_clip_config.json").write_text(json.dumps(config), encoding="utf-8")
            for file in FOLDER.glob("token*"):
                (towers / file.name).write_bytes(file.read_bytes())
            return f"random:open_clip:local-dir:{towers}", f"random:open_clip:local-dir:{towers}#1"
        (SwinConfig(**SWIN) if recipe.startswith("swin") else DINOv3ViTConfig(**VIT)).save_pretrained(towers)
        family = {"qwen3": "qwen3", "llama": "llama", "minilm": "bert"}[recipe.partition("_")[2]]
        cut = "" if family == "bert" else "#2"
        return f"random:transformers:{towers}", f"transformers:{write_text_model(family, texts)}{cut}"

    def write(recipe: Path) -> Path:
        vision, language = pair(recipe.stem)
        model = yaml.safe_load(recipe.read_text())["model"]["config"]
        model |= {"vision": vision, "language": language, "interface": SMALL, "shortest_side": 96, "longest_side": 96}
        model["long_texts"] = "cut"
        transforms = [
            {"class_path": "find.data.transforms.LargeScaleJitter", "init_args": {"size": 96}},
            {"class_path": "find.data.transforms.HorizontalFlip"},
        ]
        settings = {
            "model": {"config": model, "nested_widths": [8]},
            "data": {
                "root": str(shared / "coco-sample" / "coco"),
                "batch_size": 2,
                "num_workers": 0,
                "transforms": transforms,
            },
            "trainer": {
                "accelerator": "cpu",
                "devices": 1,
                "max_epochs": 1,
                "limit_train_batches": 2,
                "limit_val_batches": 1,
                "log_every_n_steps": 1,
                "default_root_dir": str(tmp_path / "run"),
            },
        }
        file = tmp_path / "small.yaml"
        file.write_text(yaml.safe_dump(settings))
        return file

    return write


@pytest.mark.parametrize(
    "recipe",
    [  # one of them with a tower of each kind is enough for every day
        pytest.param(one, id=one.stem, marks=() if one.stem in ("siglip2", "swinl_llama") else pytest.mark.slow)
        for one in RECIPES
    ],
)
def test_two_steps_on_coco(recipe, shrink, tmp_path):
    cli = main(["fit", "-c", f"coco/{recipe.stem}", "-c", str(shrink(recipe))])
    module = cli.model
    assert cli.trainer.precision == choose_precision("cpu").name and module.criterion.deep_supervision
    assert cli.trainer.global_step == 2 and module.text_cache.report().found > 0
    assert module.text_cache.store.folder.parent == tmp_path / "run" / "text-cache"
    saved = FIND.from_pretrained(tmp_path / "run" / "model")
    assert saved.config == module.find.config
    for name, value in module.find.interface.state_dict().items():
        assert torch.isfinite(value).all() and torch.equal(saved.interface.state_dict()[name], value), name


@pytest.mark.slow
def test_what_reads_connections_entities_and_presence_learns_on_photographs(shrink, shared, tmp_path):
    """Real sentences, crowds and regions of other photographs; `benchmark/recipe_losses.py` does it at size."""
    recipe = next(one for one in RECIPES if one.stem == "dinov3s_minilm")
    small = shrink(recipe)
    longer = {"limit_train_batches": 60, "limit_val_batches": 0}
    more = {"trainer": longer, "model": {"learning_rate": 3e-3}, "data": {"batch_size": 4}}
    changes = tmp_path / "longer.yaml"
    changes.write_text(yaml.safe_dump(more))
    main(["fit", "-c", f"coco/{recipe.stem}", "-c", str(small), "-c", str(changes), "--trainer.max_epochs", "3"])
    with (tmp_path / "run" / "metrics.csv").open(newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if row["train/loss"]]
    for name in ("loss", "composition", "match", "tagger"):
        values = [float(row[f"train/{name}"]) for row in rows]
        assert np.mean(values[-10:]) < 0.95 * np.mean(values[:10]), name
    model = FIND.from_pretrained(tmp_path / "run" / "model").eval()
    photos = CocoFolder(shared / "coco-sample" / "coco", "val2017")
    first, second = (photos.root / "val2017" / photos.file_name(image_id) for image_id in photos.image_ids[:2])
    records = json.loads((photos.root / "annotations" / "panoptic_val2017.json").read_text(encoding="utf-8"))
    crowded = next(one for one in records["annotations"] if any(part["iscrowd"] for part in one["segments_info"]))
    crowd = photos.root / "val2017" / photos.file_name(crowded["image_id"])
    query = Query("the ", Region(second, points=(20, 20)), " beside ", Phrase("a person"))
    for photo, asked in ((first, query), (crowd, Query.parse("{people} behind {a person}"))):
        for found in model.segment([photo], [asked])[0]:
            assert 0 <= found.score <= 1 and 0 <= found.present <= 1
