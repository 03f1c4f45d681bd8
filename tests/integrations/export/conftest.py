"""A small model with every part that is exported, and its export."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_run import CONFIG as SMALL

from find import FIND, Phrase, Query, Region
from find.integrations.export.running import OnnxModel
from find.integrations.export.writing import write_model

SIZES = ((60, 90), (90, 60), (64, 64), (200, 150))
"""Heights and widths of pictures; they need canvases of three shapes."""


@pytest.fixture(scope="session")
def model() -> FIND:
    pytest.importorskip("onnxscript", reason="exporting needs: pip install 'findvl[onnx]'")
    torch.manual_seed(0)
    interface = replace(SMALL.interface, layers=2, queries=7, pair_width=8)
    return FIND.build(replace(SMALL, interface=interface, shortest_side=64, longest_side=128))


@pytest.fixture(scope="session")
def folder(model: FIND, tmp_path_factory) -> Path:
    pytest.importorskip("onnxruntime", reason="running an export needs: pip install 'findvl[onnx]'")
    out = tmp_path_factory.mktemp("export") / "small"
    assert list(write_model(model, out, entities=6, name="small")) == [
        "image.onnx",
        "regions.onnx",
        "query.onnx",
        "segment.onnx",
        "score.onnx",
    ]
    return out


@pytest.fixture(scope="session")
def exported(folder: Path) -> OnnxModel:
    return OnnxModel(folder, threads=1)


@pytest.fixture(scope="session")
def images() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    coarse = (rng.integers(0, 256, (5, 6, 3), dtype=np.uint8) for _ in SIZES)
    pictures = (
        Image.fromarray(c).resize((w, h), Image.Resampling.BICUBIC) for c, (h, w) in zip(coarse, SIZES, strict=True)
    )
    return [np.array(picture) for picture in pictures]


@pytest.fixture(scope="session")
def queries(images: Sequence[np.ndarray]) -> list[Query]:
    """One to six entities: words, regions of two pictures, both."""
    box = np.zeros(SIZES[0], bool)
    box[10:40, 20:70] = True
    first, second = Region(images[0], mask=box), Region(images[3], points=(50, 15))
    things = [Phrase("a red dog"), Phrase("the tree"), Phrase("a car"), Phrase("a large blue cat"), Phrase("grass")]
    return [
        Query("the ", things[0]),
        Query(first, " left of ", things[1]),
        Query("a picture of ", things[2], " above ", second, " near ", first),
        Query(things[0], " and ", things[1], ", ", things[2], " below ", things[3], " on ", things[4], " by ", second),
    ]
