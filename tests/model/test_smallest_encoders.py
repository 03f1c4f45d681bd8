"""What the protocols of encoders ask is all that is asked: objects that have nothing else make a whole model."""

import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from typing_extensions import get_protocol_members

from find import FIND, FINDConfig, InterfaceConfig, Query, Region
from find.errors import CheckpointError
from find.foundations import LanguageEncoder, TextFeatures, TokenizedText, VisionEncoder, VisionFeatures
from find.training.text_cache import CachedLanguage

SIZES = InterfaceConfig(width=32, heads=2, feedforward=32, layers=2, queries=6, semantic_width=16, mask_width=8,
                        decoder_width=32, decoder_layers=1, region_points=4)  # fmt: skip


class Averages:
    """Mean colours at four scales."""

    spec = "averages"
    strides = (4.0, 8.0, 16.0, 32.0)
    channels = (3, 3, 3, 3)
    pooled_dim = None
    divisor = 32
    image_size = None

    def __call__(self, images):
        maps = tuple(F.avg_pool2d(images.float() / 255, int(stride)) for stride in self.strides)
        return VisionFeatures(maps=maps, strides=self.strides, pooled=None)

    def compute_in(self, dtype):
        raise CheckpointError("averages are computed in float32")

    def state_dict(self):
        return {}


class Lengths:
    """A token a word, which is known by its length alone."""

    spec = "lengths"
    width = 12
    pooled_dim = None
    context_length = 40
    placeholder = "this"
    dtype = torch.float32

    def tokenize(self, texts):
        rows = [[word.span() for word in re.finditer(r"\w+", text)] or [(0, 0)] for text in texts]
        longest = max(map(len, rows))
        offsets = torch.tensor([row + [(0, 0)] * (longest - len(row)) for row in rows])
        padding = torch.arange(longest) >= torch.tensor([len(row) for row in rows])[:, None]
        ids = (offsets[..., 1] - offsets[..., 0]).clamp(max=self.width - 1)
        return TokenizedText(ids=ids, padding=padding, offsets=offsets, unknown=((),) * len(texts))

    def __call__(self, tokenized):
        tokens = F.one_hot(tokenized.ids, self.width).float().masked_fill(tokenized.padding[..., None], 0)
        return TextFeatures(tokens=tokens, padding=tokenized.padding, offsets=tokenized.offsets, pooled=None)

    def compute_in(self, dtype):
        raise CheckpointError("lengths are computed in float32")

    def state_dict(self):
        return {}


@pytest.fixture(scope="module")
def model() -> FIND:
    torch.manual_seed(0)
    config = FINDConfig(interface=SIZES, shortest_side=64, longest_side=96)
    return FIND.build(config, vision=Averages(), language=Lengths())


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    pixels = np.random.default_rng(0)
    return [pixels.integers(0, 255, (*size, 3), dtype=np.uint8) for size in ((64, 96), (80, 64))]


@pytest.mark.parametrize(("protocol", "smallest"), [(VisionEncoder, Averages), (LanguageEncoder, Lengths)])
def test_the_objects_have_what_the_protocol_asks_and_nothing_else(protocol, smallest):
    assert isinstance(smallest(), protocol)
    public = {name for name in vars(smallest) if not name.startswith("_")}
    assert public | {"__call__"} == get_protocol_members(protocol)


def test_a_model_of_them_embeds_images_texts_and_queries(model: FIND, pictures: list[np.ndarray]):
    assert (model.config.vision, model.config.language) == ("averages", "lengths")
    both, alone = model.embed_images(pictures), [model.embed_images(picture) for picture in pictures]
    for row, one in enumerate(alone):
        torch.testing.assert_close(both.image[row], one.image[0], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(both.objects[row], one.objects[0], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(both.image[0], both.image[1], atol=1e-3)
    texts = model.embed_texts(["a red dog", "a big cat", "elephants walk"])
    torch.testing.assert_close(texts[0], texts[1])  # words of the same lengths
    assert not torch.allclose(texts[0], texts[2], atol=1e-3)
    region = Region(pictures[0], box=(8, 8, 40, 40))
    embedded = model.embed_queries([Query.parse("{a dog} on {the grass}"), Query("beside ", region)])
    assert embedded.entities.shape[:2] == (2, 2) and embedded.padding.tolist() == [[False, False], [False, True]]
    torch.testing.assert_close(embedded.query.norm(dim=-1), torch.ones(2))


def test_a_model_of_them_segments_and_is_saved(model: FIND, pictures: list[np.ndarray], tmp_path):
    (dog,) = model.segment(pictures[0], "{a dog}")
    assert dog.mask.shape == (64, 96)
    model.save_pretrained(tmp_path / "model")
    with pytest.raises(CheckpointError, match="'averages'"):  # nothing installed has this name
        FIND.from_pretrained(tmp_path / "model")


def test_a_text_cache_asks_no_more_of_a_language_encoder(tmp_path):
    cached, texts = CachedLanguage(Lengths(), tmp_path), ["a red dog", "grass"]
    first, second = (cached(cached.tokenize(texts)) for _ in range(2))
    assert torch.equal(first.tokens, Lengths()(Lengths().tokenize(texts)).tokens)
    assert torch.equal(first.tokens, second.tokens) and cached.report().found == 2
