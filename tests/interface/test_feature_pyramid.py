"""The pyramid gives maps of strides near 4, 8, 16 and 32, in their places, from whatever maps an encoder has."""

import itertools

import pytest
import torch
import torch.nn.functional as F

from find.errors import FindError
from find.interface.feature_pyramid import FeaturePyramid, Halve, _halved, is_pyramid


def sides(pyramid: FeaturePyramid, strides: tuple[float, ...], channels: tuple[int, ...], side: int) -> list[tuple]:
    maps = [torch.randn(2, c, round(side / s), round(side / s)) for c, s in zip(channels, strides, strict=True)]
    return [tuple(m.shape[1:]) for m in pyramid(maps)]


@pytest.mark.parametrize("stride", [14, 16])
def test_a_plain_vits_map_becomes_four(stride):
    pyramid = FeaturePyramid(channels=(32,), strides=(stride,))
    assert pyramid.channels == [8, 16, 32, 32]
    cells = 6
    found = sides(pyramid, (stride,), (32,), cells * stride)
    assert found == [(8, 24, 24), (16, 12, 12), (32, 6, 6), (32, 3, 3)]
    assert all(parameter.requires_grad for parameter in pyramid.parameters())
    assert len(list(pyramid.parameters())) == 8  # three deconvolutions and a norm


def test_other_maps_come_from_the_nearest():
    coarse = FeaturePyramid(channels=(8, 16, 32), strides=(8, 16, 32))
    assert (coarse.sources, coarse.channels) == ([0, 0, 1, 2], [4, 8, 16, 32])
    fine = FeaturePyramid(channels=(8, 16, 32, 64, 64), strides=(2, 4, 8, 16, 32))
    assert (fine.sources, fine.channels) == ([1, 2, 3, 4], [16, 32, 64, 64])
    assert not list(fine.parameters())
    large_patches = FeaturePyramid(channels=(32,), strides=(32,))
    assert large_patches.channels == [4, 8, 16, 32]


def test_a_map_that_has_its_stride_passes_as_it_is():
    pyramid = FeaturePyramid(channels=(8, 16, 32), strides=(4, 8, 16))
    maps = [torch.randn(1, c, 32 // k, 32 // k) for k, c in enumerate((8, 16, 32), start=1)]
    assert all(torch.equal(a, b) for a, b in zip(pyramid(maps), maps, strict=False))


def test_a_halved_map_of_odd_side_covers_all_of_it():
    pyramid = FeaturePyramid(channels=(4,), strides=(16,))
    for even in (4, 6):
        x = torch.randn(1, 4, even, even)
        assert torch.equal(pyramid([x])[3], F.max_pool2d(x, 2))
    x = torch.zeros(1, 4, 5, 5)
    x[..., 4, 4] = 1
    assert pyramid([x])[3][..., 2, 2].eq(1).all()


@pytest.mark.parametrize("strides", [(128,), ()])
def test_maps_that_are_too_far_from_four_strides_are_refused(strides):
    with pytest.raises(FindError, match="choose"):
        FeaturePyramid(channels=(8,) * len(strides), strides=strides)


def test_which_encoders_need_none():
    assert is_pyramid((4, 8, 16, 32)) and is_pyramid((3.5, 7, 14, 28))
    assert not is_pyramid((16,)) and not is_pyramid((4, 8, 16)) and not is_pyramid((2, 4, 8, 16))


@pytest.mark.parametrize("height", [1, 2, 3, 8, 13])
@pytest.mark.parametrize("width", [1, 2, 5, 6, 31])
def test_halving_is_adaptive_max_pooling(height, width):
    x = torch.randn(2, 3, height, width)
    assert torch.equal(Halve()(x), F.adaptive_max_pool2d(x, (-(-height // 2), -(-width // 2))))


def test_an_exported_graph_halves_sides_of_either_parity_alike():
    for height, width in itertools.product(range(1, 8), repeat=2):
        x = torch.randn(2, 3, height, width)
        assert torch.equal(_halved(_halved(x, -2), -1), Halve()(x))
