"""The published sampler: all pixels in order while they are few, a fair draw when they are many."""

import torch
import torch.nn.functional as F

from find.interface import CornerAlignedSampler, ImageMemory
from find.interface.corner_sampler import draw_pixels


def _memory(h, w, width=8):
    maps = torch.randn(1, width, h, w, generator=torch.Generator().manual_seed(0))
    level = maps.flatten(2).transpose(1, 2)
    embed, positions = torch.zeros(1, width), torch.zeros(h * w, width)
    memory = ImageMemory((level,), embed, (positions,), ((h, w),), torch.zeros(1, 4, h, w), (), None)
    return maps, memory


def test_few_pixels_are_all_taken_in_order_of_mask_row_and_column():
    masks = torch.zeros(2, 2, 4, 5, dtype=torch.bool)
    masks[0, 1, 0, 0] = masks[0, 0, 2, 3] = masks[0, 0, 2, 1] = True
    region, row, column, padding = draw_pixels(masks, 4)
    assert region[0].tolist() == [0, 0, 1]
    assert row[0].tolist() == [2, 2, 0]
    assert column[0].tolist() == [1, 3, 0]
    assert padding.tolist() == [[False] * 3, [True] * 3]


def test_samples_equal_grid_sample_with_aligned_corners():
    torch.manual_seed(0)
    maps, memory = _memory(5, 7)
    masks = torch.rand(1, 2, 20, 28) > 0.95
    sampler = CornerAlignedSampler(width=8, levels=1, points=100)
    tokens = sampler(memory, masks, torch.zeros(1, 2, dtype=torch.long))[0]
    _, row, column = masks[0].nonzero().unbind(1)
    grid = torch.stack([column / 28, row / 20], dim=-1) * 2 - 1
    sampled = F.grid_sample(maps, grid[None, None].float(), align_corners=True)[0, :, 0].T
    wanted = sampler.projections[0](sampled) + sampler.sign[0]
    torch.testing.assert_close(tokens.values[0], wanted)
    assert not tokens.padding.any()


def test_many_pixels_give_each_mask_the_same_share_and_no_pixel_twice():
    torch.manual_seed(0)
    masks = torch.zeros(1, 3, 60, 60, dtype=torch.bool)
    masks[0, 0, :30] = True  # 1800 pixels
    masks[0, 1, 40:50, :30] = True  # 300 pixels; the third mask is empty
    region, row, column, padding = draw_pixels(masks, 100)
    assert region.shape == (1, 100)
    assert not padding.any()
    places = set(zip(region[0].tolist(), row[0].tolist(), column[0].tolist(), strict=True))
    assert len(places) == 100
    assert masks[0][region[0], row[0], column[0]].all()
    flat = (region * 3600 + row * 60 + column)[0]
    assert (flat.diff() > 0).all()
    assert 30 <= int((region == 0).sum()) <= 70
    assert not (region == 2).any()


def test_a_prompt_with_many_pixels_leaves_the_others_alone():
    torch.manual_seed(0)
    masks = torch.zeros(2, 1, 40, 40, dtype=torch.bool)
    masks[0] = True
    masks[1, 0, 3, 4:9] = True
    _, _, column, padding = draw_pixels(masks, 16)
    assert (~padding).sum(dim=1).tolist() == [16, 5]
    assert column[1][~padding[1]].tolist() == [4, 5, 6, 7, 8]


def test_regions_of_no_row_and_empty_masks_give_padding_only():
    _, memory = _memory(5, 7)
    sampler = CornerAlignedSampler(width=8, levels=1, points=9)
    masks = torch.ones(1, 1, 3, 3, dtype=torch.bool)
    assert sampler(memory, masks, torch.tensor([[-1]]))[0].padding.all()
    assert sampler(memory, ~masks, torch.tensor([[0]]), negatives=~masks)[0].values.shape == (1, 0, 8)


def test_an_interface_that_answers_draws_the_same_pixels_whatever_else_is_asked():
    _, memory = _memory(5, 7)
    sampler = CornerAlignedSampler(width=8, levels=1, points=9).eval()
    masks = torch.ones(2, 2, 20, 28, dtype=torch.bool)
    masks[0, 1] = False
    rows = torch.zeros(2, 2, dtype=torch.long)
    both = sampler(memory, masks, rows)[0]
    alone = sampler(memory, masks[:1, :1], rows[:1, :1])[0]
    assert torch.equal(both.values[0], alone.values[0])
    assert torch.equal(both.values, sampler(memory, masks, rows)[0].values)
    assert not torch.equal(both.values, sampler.train()(memory, masks, rows)[0].values)
