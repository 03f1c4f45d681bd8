"""The recipes' kinds of foundations export: random weights, few layers, on a photograph where one lies beside us."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_run import CONFIG as SMALL
from transformers import (
    AutoTokenizer,
    BertConfig,
    CLIPVisionConfig,
    ConvNextConfig,
    DINOv3ViTConfig,
    LlamaConfig,
    SwinConfig,
)

from find import FIND, Phrase, Query, Region
from find.integrations.export.running import OnnxModel
from find.integrations.export.writing import write_model

pytestmark = pytest.mark.slow
CLOSE = {"rtol": 1e-4, "atol": 1e-4}
VISION = {
    "swin": SwinConfig(
        embed_dim=24, depths=[1, 1, 1, 1], num_heads=[1, 2, 2, 4], window_size=4, out_indices=[1, 2, 3, 4]
    ),
    "convnext": ConvNextConfig(hidden_sizes=[16, 24, 32, 48], depths=[1, 1, 1, 1]),
    "dinov3": DINOv3ViTConfig(
        hidden_size=48, intermediate_size=96, num_hidden_layers=2, num_attention_heads=2, num_register_tokens=4
    ),
    "clip": CLIPVisionConfig(
        hidden_size=48, intermediate_size=96, num_hidden_layers=2, num_attention_heads=2, image_size=64, patch_size=16
    ),
}
LANGUAGE = {
    "minilm": BertConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48),
    "llama": LlamaConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1
    ),
}


def photograph(shared: Path) -> np.ndarray:
    from PIL import Image

    file = sorted((shared / "coco-sample").rglob("*.jpg"))[0]
    with Image.open(file) as picture:
        return np.array(picture.convert("RGB").resize((150, 110)))


@pytest.mark.parametrize("vision", VISION)
def test_vision_encoders(vision, shared, tmp_path):
    VISION[vision].save_pretrained(tmp_path / "vision")
    check(f"random:transformers:{tmp_path / 'vision'}", "random:tiny", photograph(shared), tmp_path)


@pytest.mark.parametrize("language", LANGUAGE)
def test_language_encoders(language, shared, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(write_tokenizer(tmp_path / "words"))
    config = LANGUAGE[language]
    config.vocab_size = len(tokenizer)
    config.save_pretrained(tmp_path / "language")
    tokenizer.save_pretrained(tmp_path / "language")
    check("random:tiny", f"random:transformers:{tmp_path / 'language'}", photograph(shared), tmp_path)


def write_tokenizer(folder: Path) -> Path:
    from find.foundations.tiny import word_tokenizer, write_tokenizer

    folder.mkdir()
    words = ("a", "red", "dog", "the", "tree", "left", "of", "and", "by", "region", "on", "near")
    write_tokenizer(word_tokenizer(words), folder)
    return folder


def check(vision: str, language: str, picture: np.ndarray, tmp_path: Path) -> None:
    torch.manual_seed(0)
    interface = replace(SMALL.interface, layers=1, queries=7, pair_width=8)
    config = replace(SMALL, vision=vision, language=language, interface=interface, shortest_side=64, longest_side=96)
    model = FIND.build(config)
    out = tmp_path / "exported"
    assert len(list(write_model(model, out))) == 5
    exported = OnnxModel(out, threads=1)
    pictures = [picture, picture.transpose(1, 0, 2), picture[:, :91]]
    for shown in (pictures[:1], pictures):
        own, found = model.embed_images(shown), exported.embed_images(shown)
        for name in ("image", "objects", "scores"):
            torch.testing.assert_close(getattr(found, name), getattr(own, name), **CLOSE)
    dog, seen = Phrase("a red dog"), Region(picture, points=(60, 50))
    queries = [
        Query("the ", dog),
        Query(seen, " left of ", dog),
        Query(dog, " by ", dog, " and ", seen, *[" near ", dog] * 3),
    ]
    own, found = model.embed_queries(queries), exported.embed_queries(queries)
    torch.testing.assert_close(found.query, own.query, **CLOSE)
    torch.testing.assert_close(found.entities, own.entities, **CLOSE)
    own, found = model.segment(pictures, queries), exported.segment(pictures, queries)
    for a, b in zip(found, own, strict=True):
        assert [mask.score for mask in a] == pytest.approx([mask.score for mask in b], abs=1e-4)
        assert all(np.mean(x.mask != y.mask) < 1e-3 for x, y in zip(a, b, strict=True))
