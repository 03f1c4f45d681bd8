"""Places where masks are compared: random points and every place of the mask features."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from find.tasks.points import AllPositions, RandomPoints, covered_shares, segments_at

SEED = torch.tensor([7])


def one_hot(segments: torch.Tensor, count: int) -> torch.Tensor:
    return (segments[:, None] == torch.arange(count)[:, None, None]).double()


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 4), st.integers(0, 10_000))
def test_segments_at_equals_grid_sample_of_the_masks(height, width, count, seed):
    """Corners, edges and void included."""
    g = torch.Generator().manual_seed(seed)
    segments = torch.randint(-1, count, (2, height, width), generator=g)
    xy = torch.rand(2, 12, 2, generator=g, dtype=torch.double)
    xy[:, :4] = torch.tensor([[0, 0], [1, 1], [1, 0], [0.5, 0.5]])
    expected = F.grid_sample(one_hot(segments, count), 2 * xy[:, None] - 1, align_corners=False)[:, :, 0]
    torch.testing.assert_close(segments_at(segments, xy, count), expected)


def test_segments_at_reads_the_small_integers_of_a_batch():
    segments = torch.tensor([[[0, 1], [-1, 1]]], dtype=torch.int16)
    centres = torch.tensor([[[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.5, 0.5]]])
    assert segments_at(segments, centres, 2).tolist() == [[[1, 0, 0, 0.25], [0, 1, 0, 0.5]]]


def test_every_place_gives_the_covered_share_of_each_cell():
    """A 2 x 4 map seen by 1 x 2 cells: left a quarter void, right all of segment 1."""
    segments = torch.tensor([[[0, 0, 1, 1], [1, -1, 1, 1]]], dtype=torch.int16)
    features = torch.arange(6.0).reshape(1, 3, 1, 2)
    points = AllPositions()(features, segments, 3, SEED)
    assert points.segments.tolist() == [[[0.5, 0], [0.25, 1], [0, 0]]]
    assert points.features.tolist() == [[[0, 1], [2, 3], [4, 5]]]


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(1, 12), st.integers(1, 12)),
    st.tuples(st.integers(1, 12), st.integers(1, 12)),
    st.integers(1, 4),
    st.integers(0, 10_000),
)
def test_covered_shares_equal_pooling_of_the_masks(size, places, count, seed):
    """Cells that overlap included; where sides divide by powers of two, as on a canvas, bit for bit."""
    places = tuple(min(pair) for pair in zip(size, places, strict=True))
    segments = torch.randint(-1, count, (2, *size), generator=torch.Generator().manual_seed(seed), dtype=torch.int16)
    found = covered_shares(segments, places, count)
    expected = F.adaptive_avg_pool2d(one_hot(segments, count).float(), places).flatten(2)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    if all(side % place == 0 and side // place in (1, 2, 4, 8) for side, place in zip(size, places, strict=True)):
        assert torch.equal(found, expected)


def test_random_points_sample_features_and_segments_at_the_same_places():
    """Features that are the masks themselves: both sides must agree, inside as at the border."""
    torch.manual_seed(0)
    segments = torch.randint(-1, 3, (2, 8, 12))
    points = RandomPoints(200)(one_hot(segments, 3).float(), segments, 3, torch.tensor([1, 2]))
    torch.testing.assert_close(points.features, points.segments, rtol=0, atol=1e-5)
    assert points.features.shape == (2, 3, 200)


def test_random_points_of_an_image_follow_its_seed_whatever_is_beside_it():
    segments, features = torch.zeros(3, 8, 8).long(), torch.randn(1, 2, 4, 4).expand(3, -1, -1, -1)
    seeds = torch.tensor([3, -5, 3])
    found = RandomPoints(20)(features, segments, 1, seeds).features
    alone = RandomPoints(20)(features[:1], segments[:1], 1, seeds[1:2]).features
    assert torch.equal(found[0], found[2]) and torch.equal(found[1], alone[0])
    assert not torch.equal(found[0], found[1])


@pytest.mark.parametrize("sampling", [AllPositions(), RandomPoints(64)], ids=["every place", "random points"])
def test_logits_of_sampled_features_are_the_sampled_logits(sampling):
    """Masks are linear in the features: the law on which the whole of training rests."""
    torch.manual_seed(0)
    embedding, features = torch.randn(1, 5, 7), torch.randn(1, 7, 6, 6)
    logits = torch.einsum("bnm,bmhw->bnhw", embedding, features)
    late = embedding @ sampling(features, torch.zeros(1, 6, 6).long(), 1, SEED).features
    early = sampling(logits, torch.zeros(1, 6, 6).long(), 1, SEED).features
    torch.testing.assert_close(late, early, rtol=1e-4, atol=1e-5)
