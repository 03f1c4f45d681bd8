"""Two steps of `findvl fit` on real COCO images, with a foundation of each library and a plain ViT."""

import json
from dataclasses import replace

import pytest
import torch
from small_run import CONFIG
from transformers import DINOv3ViTConfig, SwinConfig

from find.cli.training import main
from find.foundations.tiny import FOLDER
from find.model.model import FIND


@pytest.fixture
def spec_of(tmp_path):
    """A spec with random weights for each kind of tower."""
    swin = SwinConfig(embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 2, 2, 4], window_size=4, image_size=64)
    swin.save_pretrained(tmp_path / "swin")
    vit = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    DINOv3ViTConfig(**vit).save_pretrained(tmp_path / "dinov3")
    (tmp_path / "convnext").mkdir()
    config = json.loads((FOLDER / "open_clip_config.json").read_text(encoding="utf-8"))
    tower = {"timm_model_name": "test_convnext", "timm_pool": "", "timm_proj": "linear", "image_size": 96}
    config["model_cfg"]["vision_cfg"] = tower
    (tmp_path / "convnext" / "open_clip_config.json").write_text(json.dumps(config), encoding="utf-8")
    return {
        "swin": f"random:transformers:{tmp_path / 'swin'}",
        "plain ViT": f"random:transformers:{tmp_path / 'dinov3'}",
        "convnext": f"random:open_clip:local-dir:{tmp_path / 'convnext'}",
        "timm": "random:timm:test_resnet",
        "detectron2": "random:detectron2:COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x.yaml",
    }


@pytest.mark.parametrize("tower", ["swin", "plain ViT", "convnext", "timm", "detectron2"])
def test_two_steps_on_coco(tower, spec_of, write_config, shared, tmp_path):
    if tower == "detectron2":
        pytest.importorskip("detectron2", reason="detectron2 is not installed: see find.foundations.detectron2")
    model = replace(CONFIG, vision=spec_of[tower], vision_dtype="bfloat16")

    def change(settings: dict[str, dict]) -> None:
        settings["model"]["config"] = model.to_dict()
        settings["data"]["root"] = str(shared / "coco-sample" / "coco")

    find = main(["fit", "-c", str(write_config(change))]).model.find
    saved = torch.load(tmp_path / "run" / "last.ckpt", map_location="cpu", weights_only=False)
    assert saved["global_step"] == 2
    assert not any(".vision." in name for name in saved["state_dict"])
    assert any("pyramid" in name for name in saved["state_dict"]) == (tower == "plain ViT")
    loaded = FIND.from_pretrained(tmp_path / "run" / "model")
    assert loaded.config.vision == spec_of[tower]
    for name, value in find.interface.state_dict().items():
        assert torch.equal(loaded.interface.state_dict()[name], value), name
