"""The backbones of detectron2, built from its YAML and lazy configs, as vision encoders.

detectron2 is on no package index; it is imported only when one of its backbones is loaded.
"""

from __future__ import annotations

import difflib
import importlib
import math
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from find.errors import CheckpointError, FindError
from find.foundations.loading import EncoderSpec, need_name
from find.foundations.maps import MapEncoder, Maps, deepest_of_each_stride, seeded
from find.foundations.source import first_line

INSTALL = "pip install --no-build-isolation 'git+https://github.com/facebookresearch/detectron2.git'"
COARSEST = 32
"""Coarser maps, such as an FPN's p6, are left out where there are finer ones: they are pooled from those."""


def detectron2_module(name: str) -> ModuleType:
    """A module of detectron2, such as "detectron2.structures".

    Raises `FindError` with the install command if it cannot be imported.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise CheckpointError(
            f"{name} cannot be imported ({first_line(error)}). detectron2 is on no package index; in the environment "
            f"that has torch: {INSTALL}"
        ) from error


@dataclass(frozen=True)
class Plan:
    """What a config of detectron2 says about a backbone.

    Attributes:
        backbone: the input of `build`: a complete `CfgNode`, or the lazy config's `model.backbone`.
        mean, std: of the pixels, in the order of their channels.
        order: of the channels, "RGB" or "BGR".
        weights: the file that the config names; "" for none.
    """

    backbone: Any
    mean: Sequence[float]
    std: Sequence[float]
    order: str
    weights: str

    def build(self) -> nn.Module:
        if hasattr(self.backbone, "MODEL"):
            return detectron2_module("detectron2.modeling").build_backbone(self.backbone)
        return detectron2_module("detectron2.config").instantiate(self.backbone)


class Detectron2Backbone(MapEncoder):
    """A backbone: its deepest map of each stride.

    Args:
        names: of the maps, fine to coarse.
        order: of the channels that the tower takes.
        options: as for `MapEncoder`.
    """

    def __init__(self, tower: nn.Module, *, names: Sequence[str], order: str, **options: Any) -> None:
        self.names, self.reverse = (
            tuple(names),
            order == "BGR",
        )  # first, because the constructor calls `forward_features`
        super().__init__(tower, **options)

    def forward_features(self, pixels: Float[Tensor, "b 3 h w"]) -> Maps:
        maps = self.tower(pixels.flip(1) if self.reverse else pixels)
        return [maps[name] for name in self.names], None


def load_detectron2(spec: EncoderSpec, *, dtype: torch.dtype = torch.float32) -> Detectron2Backbone:
    """The backbone of `CONFIG` or `CONFIG@WEIGHTS`.

    CONFIG is a file, or the name of one in detectron2's model zoo, such as
    `COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x.yaml`. One that ends in .py is a lazy config, which is a program
    and is run: give only one that you trust. WEIGHTS is a file of tensors (.safetensors, or .pth as detectron2 saves
    it) of the whole model or of the backbone; without it the config's own file is read. Pickles are refused.

    Raises:
        FindError: detectron2 is not installed, or config or weights cannot be read or do not match.
    """
    name = need_name(spec, "detectron2:CONFIG@WEIGHTS")
    detectron2_module("detectron2")
    text, _, weights = (name, "", "") if Path(name).is_file() else name.partition("@")
    plan = read_config(find_config(text, spec=spec.text), spec=spec.text)
    if plan.order not in ("RGB", "BGR"):
        raise CheckpointError(
            f"{spec.text}: the config wants its images as {plan.order!r}; only RGB and BGR are known here"
        )
    try:
        tower = seeded(plan.build)
    except (KeyError, ValueError, TypeError, AssertionError, AttributeError, RuntimeError) as error:
        raise CheckpointError(f"{spec.text}: detectron2 cannot build this backbone: {first_line(error)}") from error
    if not spec.untrained:
        load_backbone_weights(tower, weights or plan.weights, spec=spec.text)
    shapes = tower.output_shape()
    names = [key for key, shape in shapes.items() if shape.stride <= COARSEST] or list(shapes)
    names = [names[k] for k in deepest_of_each_stride([shapes[key].stride for key in names])]
    mean, std = (values if plan.order == "RGB" else values[::-1] for values in (plan.mean, plan.std))
    return Detectron2Backbone(
        tower,
        names=names,
        order=plan.order,
        spec=spec.text,
        mean=[value / 255 for value in mean],
        std=[value / 255 for value in std],
        divisor=math.lcm(tower.size_divisibility or 1, *(shapes[key].stride for key in names)),
        dtype=dtype,
    )


def find_config(text: str, *, spec: str) -> Path:
    """The config file at a path, or of that name in detectron2's model zoo."""
    if Path(text).is_file():
        return Path(text)
    zoo = zoo_folder()
    if (zoo / text).is_file():
        return zoo / text
    known = [str(path.relative_to(zoo)) for kind in ("*.yaml", "*.py") for path in sorted(zoo.rglob(kind))]
    near = difflib.get_close_matches(text, known, n=3, cutoff=0.5)
    raise CheckpointError(
        f"{spec}: there is no config file {text!r}, neither here nor in detectron2's model zoo"
        + (f"; did you mean {' or '.join(near)}?" if near else "")
    )


def zoo_folder() -> Path:
    return Path(detectron2_module("detectron2").__file__).parent / "model_zoo" / "configs"


def read_config(path: Path, *, spec: str) -> Plan:
    """Reads a config; FindError if it cannot be read or lacks a backbone or pixel statistics.

    YAML tags that call Python, which detectron2 always runs, are run only for its own model zoo (RetinaNet's configs
    need them).
    """
    try:
        return _lazy_plan(path) if path.suffix == ".py" else _yaml_plan(path)
    except FindError:
        raise
    except Exception as error:  # a lazy config is a program: it may raise anything
        raise CheckpointError(f"{spec}: the config {path} cannot be read: {first_line(error)}") from error


def _yaml_plan(path: Path) -> Plan:
    config = detectron2_module("detectron2.config").get_cfg()
    config.merge_from_file(str(path), allow_unsafe=path.resolve().is_relative_to(zoo_folder().resolve()))
    config.MODEL.DEVICE = "cpu"
    model = config.MODEL
    return Plan(config, list(model.PIXEL_MEAN), list(model.PIXEL_STD), config.INPUT.FORMAT, model.WEIGHTS)


def _lazy_plan(path: Path) -> Plan:
    config = detectron2_module("detectron2.config").LazyConfig.load(str(path))
    select = importlib.import_module("omegaconf").OmegaConf.select  # detectron2 brings it
    parts = {key: select(config, f"model.{key}") for key in ("backbone", "pixel_mean", "pixel_std")}
    order = select(config, "dataloader.train.mapper.image_format") or select(config, "model.input_format")
    missing = [key for key, part in {**parts, "input_format": order}.items() if part is None]
    if missing:
        raise CheckpointError(
            f"{path}: the config says nothing of {', '.join(f'model.{key}' for key in missing)}; add it"
        )
    weights = select(config, "train.init_checkpoint") or ""
    return Plan(parts["backbone"], list(parts["pixel_mean"]), list(parts["pixel_std"]), order, weights)


def load_backbone_weights(backbone: nn.Module, file: str, *, spec: str) -> None:
    """Loads the backbone's weights from those of a complete model (prefix "backbone.") or of the backbone; fails unless
    all are there."""
    state = read_weights(file, spec=spec)
    prefix = "backbone."
    own = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)} or state
    try:
        missing, unknown = backbone.load_state_dict(own, strict=False)
    except RuntimeError as error:  # its first line only says that there are errors
        reason = " ".join(str(error).split(":", 1)[-1].split())
        raise CheckpointError(f"{spec}: {file} does not fit the config's backbone: {reason[:300]}") from error
    missing = [key for key in missing if not key.endswith("num_batches_tracked")]
    for what, keys in (("lacks", missing), ("has no place for", unknown)):
        if keys:
            where, other = (file, "the backbone") if what == "lacks" else ("the config's backbone", "the file")
            raise CheckpointError(
                f"{spec}: {where} {what} {len(keys)} of {other}'s weights ({', '.join(keys[:3])} ...); give the "
                "weights of a model that was trained by this config"
            )


def read_weights(file: str, *, spec: str) -> Mapping[str, Tensor]:
    """The tensors of a file, by name. Raises `FindError` for pickles, which can run code, and for URLs."""
    fix = (
        "Where you trust it, save its tensors once: model = detectron2.model_zoo.get(CONFIG, trained=True); "
        "torch.save(model.state_dict(), 'weights.pth'); then name CONFIG@weights.pth"
    )
    if not file:
        raise CheckpointError(
            f"{spec}: the config names no weights; name a file after it, CONFIG@weights.pth, or write random: before it"
        )
    if file.partition("?")[0].endswith(".pkl"):
        raise CheckpointError(
            f"{spec}: {file} is a pickle, which may run any program when it is read, so it is not. {fix}"
        )
    if "://" in file:
        raise CheckpointError(f"{spec}: the weights are at {file} and nothing is fetched from there. {fix}")
    if not Path(file).is_file():
        raise CheckpointError(f"{spec}: there is no file of weights {file}")
    try:
        content = load_file(file) if file.endswith(".safetensors") else torch.load(file, "cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError, SafetensorError) as error:
        raise CheckpointError(
            f"{spec}: {file} cannot be read as tensors ({first_line(error)}); save the model's state_dict() alone"
        ) from error
    for key in ("model", "model_state", "state_dict"):
        content = content.get(key, content) if isinstance(content, Mapping) else content
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise CheckpointError(f"{spec}: {file} holds no weights by name; save the model's state_dict() alone")
    return content
