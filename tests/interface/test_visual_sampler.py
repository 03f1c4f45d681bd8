"""Sampling of regions: which pixels are read, and what is read there."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from small import CANVAS, Inputs, small_interface

from find.interface.sampler import sample_bilinear, spread_points


def pixels_of(points: torch.Tensor, padding: torch.Tensor, shape: tuple[int, int]) -> list[tuple[int, int]]:
    """(row, column) of the points that are not padding."""
    kept = points[~padding]
    return [(int(y * shape[0]), int(x * shape[1])) for x, y in kept.tolist()]


def test_small_mask_gives_all_its_pixels_in_row_major_order_as_centres():
    mask = torch.zeros(1, 1, 4, 8, dtype=torch.bool)
    mask[0, 0, 1, 6] = mask[0, 0, 3, 0] = mask[0, 0, 1, 2] = True
    points, padding = spread_points(mask, 5)
    assert padding.tolist() == [[[False, False, False, True, True]]]
    assert points[0, 0, :3].tolist() == [[2.5 / 8, 1.5 / 4], [6.5 / 8, 1.5 / 4], [0.5 / 8, 3.5 / 4]]


def test_large_mask_gives_the_middles_of_equal_stretches():
    """Twelve pixels in four stretches of three: numbers 1, 4, 7 and 10."""
    points, padding = spread_points(torch.ones(1, 1, 3, 4, dtype=torch.bool), 4)
    assert not padding.any()
    assert pixels_of(points[0, 0], padding[0, 0], (3, 4)) == [(0, 1), (1, 0), (1, 3), (2, 2)]


def test_empty_mask_beside_a_full_one_gives_padding_only():
    masks = torch.zeros(2, 1, 3, 4, dtype=torch.bool)
    masks[0] = True
    points, padding = spread_points(masks, 4)
    assert not padding[0].any() and padding[1].all()
    assert torch.isfinite(points).all()
    assert spread_points(masks[1:], 4)[1].all()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_points_lie_in_their_mask_are_distinct_and_as_many_as_asked(data):
    height, width = data.draw(st.integers(1, 7)), data.draw(st.integers(1, 7))
    regions, limit = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 9))
    bits = data.draw(st.lists(st.booleans(), min_size=regions * height * width, max_size=regions * height * width))
    masks = torch.tensor(bits).reshape(1, regions, height, width)
    points, padding = spread_points(masks, limit)
    again = spread_points(masks, limit)
    assert torch.equal(points, again[0]) and torch.equal(padding, again[1])
    for mask, where, unused in zip(masks[0], points[0], padding[0], strict=True):
        chosen = pixels_of(where, unused, (height, width))
        assert len(chosen) == min(limit, int(mask.sum()))
        assert len(set(chosen)) == len(chosen) and chosen == sorted(chosen)
        assert all(mask[pixel] for pixel in chosen)


@pytest.mark.parametrize("shape", [(5, 7), (1, 4), (1, 1)])
def test_bilinear_samples_equal_grid_sample(shape):
    g = torch.Generator().manual_seed(0)
    maps = torch.randn(3, 6, *shape, generator=g, dtype=torch.double)
    rows = torch.tensor([2, 0, 0, 1])
    points = torch.rand(4, 9, 2, generator=g, dtype=torch.double)
    points[0, :4] = torch.tensor([[0.0, 0.0], [1.0, 1.0], [0.0, 1.0], [0.5, 0.5]])
    found = sample_bilinear(maps.flatten(2).transpose(1, 2), shape, rows, points)
    expected = F.grid_sample(maps[rows], 2 * points[:, None] - 1, align_corners=False, padding_mode="border")
    torch.testing.assert_close(found, expected[:, :, 0].transpose(1, 2))


def test_region_of_another_row_reads_that_rows_image():
    interface, inputs = small_interface(), Inputs.random()
    memory = inputs.memory(interface)
    swapped = inputs.each(lambda x: x.flip(0)).memory(interface)
    masks = inputs.regions[:1, 1:2]
    there = interface.sampler(memory, masks, torch.tensor([[1]]))
    here = interface.sampler(swapped, masks, torch.tensor([[0]]))
    for a, b in zip(there, here, strict=True):
        torch.testing.assert_close(a.values, b.values)


def test_negative_row_means_no_region_whatever_its_mask():
    interface, inputs = small_interface(), Inputs.random()
    tokens = interface.sampler(inputs.memory(interface), inputs.strokes, torch.full((2, 3), -1))
    assert all(level.padding.all() for level in tokens)


def test_tokens_carry_their_regions_number_and_negatives_their_own_sign():
    interface, inputs = small_interface(), Inputs.random(batch=1)
    memory = inputs.memory(interface)
    rows = torch.zeros(1, 3, dtype=torch.long)
    plain = interface.sampler(memory, inputs.strokes, rows)
    both = interface.sampler(memory, inputs.strokes, rows, negatives=inputs.strokes)
    points = interface.sampler.points
    for alone, level in zip(plain, both, strict=True):
        assert level.index.tolist() == [[k for k in range(3) for _ in range(points)] * 2]
        positive, negative = level.values.split(3 * points, dim=1)
        torch.testing.assert_close(positive, alone.values)
        moved = interface.sampler.sign[1] - interface.sampler.sign[0]
        torch.testing.assert_close(negative - positive, moved.expand_as(positive), rtol=1e-4, atol=1e-5)


def test_memory_with_another_number_of_levels_is_refused():
    interface, inputs = small_interface(), Inputs.random()
    memory = inputs.memory(interface)
    with pytest.raises(ValueError, match="2 levels, the sampler 3"):
        interface.sampler(replace(memory, levels=memory.levels[:2]), inputs.strokes, torch.zeros(2, 3).long())


def test_samples_depend_on_the_region_not_on_the_canvas_beyond_the_image():
    """A one-pixel region in the middle of a coarse cell reads that cell exactly."""
    interface, inputs = small_interface(), Inputs.random(batch=1)
    memory = inputs.memory(interface)
    coarse = memory.shapes[0]
    mask = torch.zeros(1, 1, coarse[0] * 3, coarse[1] * 3, dtype=torch.bool)
    mask[0, 0, 4, 7] = True  # the centre of cell (1, 2)
    assert CANVAS[0] // coarse[0] == CANVAS[1] // coarse[1] == 32
    token = interface.sampler(memory, mask, torch.tensor([[0]]))[0].values[0, 0]
    cell = memory.levels[0][0, 1 * coarse[1] + 2] + interface.level_embed[0]
    expected = interface.sampler.projections[0](cell) + interface.sampler.sign[0]
    torch.testing.assert_close(token, expected, rtol=1e-4, atol=1e-5)
