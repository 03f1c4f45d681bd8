"""The tiny pair's towers, in plain PyTorch, are open_clip's: the same weights by name, and the same numbers."""

import open_clip
import pytest
import torch

from find.foundations import EncoderSpec, fingerprint, load_language, load_vision
from find.foundations.open_clip import OpenClipVision, load_open_clip
from find.foundations.open_clip_text import load_open_clip_text
from find.foundations.tiny import FOLDER, RegionHead

LOCAL = f"local-dir:{FOLDER}"
TEXTS = ["a small red dog next to the [region]", "Grass.", "zeppelin"]


@pytest.mark.parametrize("untrained", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("side", [160, 96])
def test_the_image_tower_gives_what_open_clips_gives(untrained, dtype, side):
    vision = load_vision("random:" * untrained + "tiny", dtype=dtype)
    theirs = OpenClipVision(load_open_clip(LOCAL, untrained=untrained).visual, spec="tiny", dtype=dtype)
    assert fingerprint(vision.tower) == fingerprint(theirs.tower)
    assert (vision.strides, vision.channels, vision.divisor) == (theirs.strides, theirs.channels, theirs.divisor)
    images = torch.randint(0, 256, (2, 3, side, 160), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    ours, expected = vision(images), theirs(images)
    assert torch.equal(ours.pooled, expected.pooled)
    for one, other in zip(ours.maps, expected.maps, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("untrained", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_text_tower_gives_what_open_clips_gives(untrained, dtype):
    language = load_language("random:" * untrained + "tiny", dtype=dtype)
    theirs = load_open_clip_text(EncoderSpec("tiny", "tiny", LOCAL, untrained), dtype=dtype)
    assert fingerprint(language) == fingerprint(theirs)
    tokens = language.tokenize(TEXTS)
    assert torch.equal(tokens.ids, theirs.tokenize(TEXTS).ids)
    ours, expected = language(tokens), theirs(tokens)
    assert torch.equal(ours.pooled, expected.pooled)
    assert torch.equal(ours.tokens, expected.tokens)


@pytest.mark.parametrize("pool_type", ["first", "last", "argmax", "eos"])
def test_texts_are_pooled_as_open_clip_pools_them(pool_type):
    language = load_language()
    language.pool_type, language.eos_id = pool_type, 7
    ids = torch.tensor([[3, 7, 97, 0], [3, 9, 7, 97]])
    states = torch.randn(2, 4, 8)
    expected = open_clip.transformer.text_global_pool(states, ids, pool_type, eos_token_id=7)
    assert torch.equal(language.pool(states, ids), expected)


def test_an_untrained_region_head_is_the_same_each_time():
    """As it was when open_clip built the tower beside it: drawn from the seed alone."""
    vision = load_vision("random:tiny")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        head = RegionHead(channels=vision.channels, width=vision.pooled_dim)
    assert fingerprint(vision.region_head) == fingerprint(head)
