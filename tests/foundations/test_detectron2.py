"""detectron2's backbones give its own features; where it is absent, the message says how to get it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from find.errors import FindError
from find.foundations import VisionEncoder, fingerprint, load_vision
from find.foundations.detectron2 import INSTALL

PYRAMID = (4, 8, 16, 32)
SMALL = """
MODEL:
  RESNETS: {NUM_GROUPS: 1, WIDTH_PER_GROUP: 8, STEM_OUT_CHANNELS: 8, RES2_OUT_CHANNELS: 16}
  FPN: {OUT_CHANNELS: 16}
  RPN: {CONV_DIMS: [16]}
  ROI_BOX_HEAD: {FC_DIM: 16, NUM_FC: 1}
  PIXEL_STD: [57.0, 58.0, 59.0]
"""
LAZY = """
from detectron2.config import LazyCall as L
from detectron2.modeling import FPN, SimpleFeaturePyramid, SwinTransformer, ViT
from detectron2.modeling.backbone.fpn import LastLevelMaxPool

vit = L(SimpleFeaturePyramid)(
    net=L(ViT)(img_size=64, patch_size=16, embed_dim=32, depth=2, num_heads=2, drop_path_rate=0.5, window_size=2,
               window_block_indexes=[0], use_rel_pos=True, out_feature="last_feat"),
    in_feature="${.net.out_feature}", out_channels=16, scale_factors=(4.0, 2.0, 1.0, 0.5), norm="LN",
    top_block=L(LastLevelMaxPool)(),
)
swin = L(FPN)(
    bottom_up=L(SwinTransformer)(depths=[1, 1, 1, 1], embed_dim=8, num_heads=[1, 2, 2, 4], window_size=4),
    in_features=["p0", "p1", "p2", "p3"], out_channels=16, top_block=L(LastLevelMaxPool)(), square_pad=64,
)
"""
PIXELS = "pixel_mean=[123.7, 116.3, 103.5], pixel_std=[58.4, 57.1, 57.4]"
CONFIGS = {  # file, strides, channels, divisor
    "fpn.yaml": ("_BASE_: ZOO/Base-RCNN-FPN.yaml" + SMALL, PYRAMID, (16,) * 4, 32),
    "c4.yaml": ("_BASE_: ZOO/Base-RCNN-C4.yaml" + SMALL, (16,), (64,), 16),
    "vit.py": (LAZY + f'model = dict(backbone=vit, {PIXELS}, input_format="RGB")', PYRAMID, (16,) * 4, 32),
    "swin.py": (LAZY + f'model = dict(backbone=swin, {PIXELS}, input_format="BGR")', PYRAMID, (16,) * 4, 32),
}


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def configs(tmp_path_factory) -> Path:
    """A folder of small configs, for the real library."""
    library = pytest.importorskip("detectron2", reason=f"detectron2 is not installed: {INSTALL}")
    zoo = Path(library.__file__).parent / "model_zoo" / "configs"
    folder = tmp_path_factory.mktemp("configs")
    for name, (text, *_) in CONFIGS.items():
        (folder / name).write_text(text.replace("ZOO", str(zoo)), encoding="utf-8")
    return folder


def some_images(divisor: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (2, 3, 3 * divisor, 5 * divisor), dtype=torch.uint8, generator=generator)


def test_without_detectron2_the_message_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "detectron2", None)
    with pytest.raises(FindError, match="detectron2 is on no package index") as expected:
        load_vision("random:detectron2:COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x.yaml")
    assert INSTALL in str(expected.value)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_backbone_keeps_an_encoders_promises(name, configs):
    """Strides and channels as declared, a batch of two as two of one, no gradient, always in eval mode."""
    _, strides, channels, divisor = CONFIGS[name]
    vision = load_vision(f"random:detectron2:{configs / name}")
    assert isinstance(vision, VisionEncoder)
    assert (vision.strides, vision.channels, vision.divisor) == (strides, channels, divisor)
    images, before = some_images(divisor), fingerprint(vision)
    parent = torch.nn.ModuleList([vision]).train()
    together = vision(images)
    assert not any(module.training for module in vision.modules())
    assert not any(parameter.requires_grad for parameter in parent.parameters())
    for i in range(2):
        alone = vision(images[i : i + 1])
        for one, both, stride in zip(alone.maps, together.maps, strides, strict=True):
            assert both.shape[-2:] == (images.shape[2] / stride, images.shape[3] / stride)
            assert not both.requires_grad
            assert_equal(both[i : i + 1], one)
    assert fingerprint(vision) == before == fingerprint(load_vision(f"random:detectron2:{configs / name}"))
    with pytest.raises(FindError, match=f"multiples of {divisor}"):
        vision(images[..., 1:])


@pytest.mark.parametrize("name", CONFIGS)
def test_low_precision_is_nearly_the_same(name, configs):
    full, half = (load_vision(f"random:detectron2:{configs / name}", dtype=d) for d in (torch.float32, torch.bfloat16))
    images = some_images(full.divisor)
    for exact, near in zip(full(images).maps, half(images).maps, strict=True):
        assert near.dtype == torch.bfloat16
        assert torch.cosine_similarity(exact.flatten(1), near.float().flatten(1)).min() > 0.98


@pytest.mark.parametrize("name", ["fpn.yaml", "c4.yaml"])
def test_features_are_those_of_detectron2s_own_model(name, configs):
    """A whole model of detectron2, with its own preprocessing of its BGR inputs."""
    config, model = own_model(configs / name)
    assert config.INPUT.FORMAT == "BGR"
    weights = configs / f"{name}.pth"
    torch.save({"model": model.state_dict(), "iteration": 7}, weights)
    vision = load_vision(f"detectron2:{configs / name}@{weights}")
    images = some_images(vision.divisor)
    with torch.no_grad():
        wanted = model.backbone(model.preprocess_image([{"image": image.flip(0)} for image in images]).tensor)
    for key, found in zip(vision.names, vision(images).maps, strict=True):
        assert_equal(found, wanted[key])


@pytest.mark.parametrize("name", ["vit.py", "swin.py"])
def test_a_lazy_configs_pixels_are_in_the_order_of_its_channels(name, configs):
    from detectron2.config import LazyConfig, instantiate

    vision = load_vision(f"random:detectron2:{configs / name}")
    config = LazyConfig.load(str(configs / name)).model
    backbone = instantiate(config.backbone).eval()
    backbone.load_state_dict(vision.tower.state_dict())
    images = some_images(vision.divisor)
    mean, std = (torch.tensor(list(values)).view(3, 1, 1) for values in (config.pixel_mean, config.pixel_std))
    ordered = images.flip(1) if config.input_format == "BGR" else images
    with torch.no_grad():
        wanted = backbone((ordered - mean) / std)
    for key, found in zip(vision.names, vision(images).maps, strict=True):
        assert_equal(found, wanted[key])


def test_weights_may_be_named_by_the_config_and_be_the_backbones_alone(configs, tmp_path):
    _, model = own_model(configs / "c4.yaml")
    save_file(model.backbone.state_dict(), tmp_path / "backbone.safetensors")
    text = (configs / "c4.yaml").read_text() + f"  WEIGHTS: {tmp_path / 'backbone.safetensors'}\n"
    (tmp_path / "named.yaml").write_text(text)
    vision = load_vision(f"detectron2:{tmp_path / 'named.yaml'}")
    for name, value in model.backbone.state_dict().items():
        assert torch.equal(vision.tower.state_dict()[name], value), name


class Trap:
    """A pickle of it makes a file when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_pickles_are_never_read(configs, tmp_path):
    for name in ("model.pkl", "model.pth"):
        torch.save({"model": Trap(tmp_path / "sprung")}, tmp_path / name)
        with pytest.raises(FindError, match=r"is a pickle.*torch.save|cannot be read as tensors"):
            load_vision(f"detectron2:{configs / 'c4.yaml'}@{tmp_path / name}")
    assert not (tmp_path / "sprung").exists()


def test_yaml_that_calls_python_is_refused(configs, tmp_path):
    (tmp_path / "trap.yaml").write_text(
        f"MODEL: {{WEIGHTS: !!python/object/apply:pathlib.Path.touch ['{tmp_path / 'sprung'}']}}"
    )
    with pytest.raises(FindError, match=r"trap.yaml cannot be read: could not determine a constructor"):
        load_vision(f"random:detectron2:{tmp_path / 'trap.yaml'}")
    assert not (tmp_path / "sprung").exists()
    retina = load_vision("random:detectron2:COCO-Detection/retinanet_R_50_FPN_1x.yaml")  # the library's own may
    assert retina.strides == (8, 16, 32)


def test_what_cannot_be_had_is_told_with_what_to_do(configs, tmp_path):
    (tmp_path / "empty.py").write_text("model = dict(backbone=None)")
    (tmp_path / "wrong.py").write_text("model = 1 / 0")
    (tmp_path / "grey.yaml").write_text("INPUT: {FORMAT: L}")
    (tmp_path / "odd.yaml").write_text("MODEL: {BACKBONE: {NAME: build_nothing}}")
    torch.save({"conv.weight": torch.zeros(1)}, tmp_path / "other.pth")
    _, model = own_model(configs / "fpn.yaml")
    torch.save(model.state_dict(), tmp_path / "fpn.pth")
    c4 = configs / "c4.yaml"
    for spec, message in {
        "detectron2:COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3.yaml": "did you mean .*mask_rcnn_R_50_FPN_3x.yaml",
        "detectron2:COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x.yaml": "R-50.pkl is a pickle",
        f"detectron2:{c4}@{tmp_path / 'none.pth'}": "there is no file of weights",
        f"detectron2:{c4}@https://somewhere/model.pth": "nothing is fetched",
        f"detectron2:{configs / 'vit.py'}": "the config names no weights.*or write random:",
        f"detectron2:{c4}@{tmp_path / 'other.pth'}": "lacks .* of the backbone's weights",
        f"detectron2:{c4}@{tmp_path / 'fpn.pth'}": "lacks|no place",
        f"random:detectron2:{tmp_path / 'empty.py'}": "says nothing of model.backbone, model.pixel_mean",
        f"random:detectron2:{tmp_path / 'wrong.py'}": "cannot be read: division by zero",
        f"random:detectron2:{tmp_path / 'grey.yaml'}": "only RGB and BGR",
        f"random:detectron2:{tmp_path / 'odd.yaml'}": "cannot build this backbone.*build_nothing",
    }.items():
        with pytest.raises(FindError, match=message):
            load_vision(spec)


def assert_equal(found: torch.Tensor, wanted: torch.Tensor) -> None:
    """Up to rounding in sums of terms as large as the map's largest value."""
    torch.testing.assert_close(found, wanted, rtol=0, atol=2e-5 * wanted.abs().max().item())


def own_model(path: Path):
    """The library's own config and whole model, with random weights."""
    from detectron2.config import get_cfg
    from detectron2.modeling import build_model

    config = get_cfg()
    config.merge_from_file(str(path))
    config.MODEL.DEVICE = "cpu"
    torch.manual_seed(3)
    return config, build_model(config).eval()
