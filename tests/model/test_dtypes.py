"""What may be computed in low precision, and what refuses to be."""

import lightning as L
import numpy as np
import pytest
import torch
from small_run import CONFIG
from torch.nn.functional import cosine_similarity

from find.errors import FindError
from find.foundations import load_language, load_vision
from find.model.model import FIND
from find.query.query import Query
from find.training.module import FINDModule

PICTURE = np.random.default_rng(0).integers(0, 256, (96, 128, 3)).astype(np.uint8)
CASTS = {
    "to": lambda model: model.to(torch.bfloat16),
    "to_by_name": lambda model: model.to(dtype=torch.float16),
    "half": lambda model: model.half(),
    "bfloat16": lambda model: model.bfloat16(),
    "double": lambda model: model.double(),
}


class NoSamples(L.LightningDataModule):
    """Data of which no sample may be asked for."""

    categories = ()

    def train_dataloader(self):
        raise AssertionError("training has begun")


@pytest.fixture(scope="module")
def whole() -> FIND:
    return FIND.from_pretrained("find-tiny")


@pytest.fixture(scope="module")
def low() -> FIND:
    return FIND.from_pretrained("find-tiny", device="cpu", dtype="bfloat16")


@pytest.mark.parametrize("cast", CASTS.values(), ids=CASTS.keys())
def test_a_model_is_not_cast_as_a_whole(whole, cast):
    with pytest.raises(FindError, match=r"FIND cannot be cast.*bf16-mixed"):
        cast(whole)
    with pytest.raises(FindError, match="TinyVision cannot be cast"):
        cast(whole.vision)
    assert {p.dtype for p in whole.parameters()} == {torch.float32}
    assert len(whole.segment([PICTURE], [Query.parse("{a red dog}")])[0]) == 1


def test_what_changes_no_type_is_no_cast(whole):
    assert whole.to("cpu").float().to(torch.float32) is whole


@pytest.mark.parametrize("precision", ["bf16-true", "16-true", "64-true"])
def test_training_in_such_a_type_is_refused_before_it_begins(precision, tmp_path):
    """Where Lightning casts the module, whoever made the trainer."""
    trainer = L.Trainer(precision=precision, accelerator="cpu", max_steps=1, logger=False, default_root_dir=tmp_path)
    module = FINDModule(config=CONFIG)
    with pytest.raises(FindError, match="bf16-mixed, not bf16-true"):
        trainer.fit(module, datamodule=NoSamples())


def test_foundations_compute_in_low_precision_and_the_interface_in_float32(whole, low):
    """The features are those of foundations that were loaded so; answers are float32 and nearly the same."""
    pixels = torch.from_numpy(PICTURE[:96, :96].transpose(2, 0, 1).copy())[None]
    loaded = load_vision("tiny", dtype=torch.bfloat16)(pixels)
    for found, wanted in zip(low.vision(pixels).maps, loaded.maps, strict=True):
        assert found.dtype == torch.bfloat16 and torch.equal(found, wanted)
    words = low.language.tokenize(["a red dog"])
    assert torch.equal(low.language(words).tokens, load_language("tiny", dtype=torch.bfloat16)(words).tokens)
    assert {p.dtype for p in low.interface.parameters()} == {torch.float32}

    one, other = (model.embed_images([PICTURE]) for model in (whole, low))
    assert other.image.dtype == other.objects.dtype == torch.float32
    assert 0.99 < cosine_similarity(one.image, other.image).item() < 1


def test_a_model_in_low_precision_is_saved_as_it_was_trained(whole, low, tmp_path):
    low.save_pretrained(tmp_path / "saved")
    again = FIND.from_pretrained(tmp_path / "saved", dtype=torch.float32)
    assert again.foundations == whole.foundations and again.fingerprint == low.fingerprint == whole.fingerprint
    assert torch.equal(again.embed_images([PICTURE]).objects, whole.embed_images([PICTURE]).objects)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"torch_dtype": torch.bfloat16}, "no argument 'torch_dtype'; did you mean 'dtype'"),
        ({"device_map": "cpu"}, "no argument 'device_map'; did you mean 'device'"),
        ({"confg": CONFIG}, "did you mean 'config'"),
        ({"tokn": "x"}, "did you mean 'token'"),
        ({"zzzz": 1}, "it takes .*cache_dir, config, device"),
        ({"dtype": "int8"}, "dtype is 'int8'; it must be one of float32, bfloat16, float16"),
        ({"device": "gpu"}, "there is no device called 'gpu'"),
    ],
)
def test_arguments_that_are_not_known_are_refused(options, message):
    with pytest.raises(FindError, match=message):
        FIND.from_pretrained("find-tiny", **options)


def test_the_hub_library_s_own_arguments_are_known():
    assert FIND.from_pretrained("find-tiny", local_files_only=True, token=None).device.type == "cpu"
