"""Boxes from mask logits: as if the masks were drawn at full size, whatever the stride."""

import pytest
import torch
import torch.nn.functional as F
from torchvision.ops import masks_to_boxes

from find.tasks.mask_boxes import boxes_of_logits

FULL = torch.ones(2)


def discs(height: int, width: int, centres: torch.Tensor, radii: torch.Tensor) -> torch.Tensor:
    """Logits that cross zero on circles; centres and radii in 0..1."""
    y, x = (torch.arange(height) + 0.5) / height, (torch.arange(width) + 0.5) / width
    distance = ((x - centres[:, :1, None]) ** 2 + (y[:, None] - centres[:, 1:, None]) ** 2).sqrt()
    return 40 * (radii[:, None, None] - distance)


CENTRES, RADII = torch.tensor([[0.4, 0.5], [0.6, 0.3], [0.05, 0.9]]), torch.tensor([0.25, 0.1, 0.2])


def test_boxes_are_those_of_the_discs_to_a_fraction_of_a_cell():
    expected = torch.cat([CENTRES - RADII[:, None], CENTRES + RADII[:, None]], dim=1).clamp(0, 1)
    for height, width in ((40, 40), (24, 40)):
        found = boxes_of_logits(discs(height, width, CENTRES, RADII), FULL)
        torch.testing.assert_close(found, expected, atol=0.35 / height, rtol=0)


def test_boxes_equal_those_of_masks_drawn_large():
    logits = discs(40, 40, CENTRES, RADII)
    drawn = F.interpolate(logits[None], scale_factor=8, mode="bilinear")[0] > 0
    expected = (masks_to_boxes(drawn) + torch.tensor([0, 0, 1, 1])) / 320
    torch.testing.assert_close(boxes_of_logits(logits, FULL), expected, atol=0.01, rtol=0)


@pytest.mark.parametrize("extent", [(0.5, 0.75), (1.0, 0.5)])
def test_padding_of_the_canvas_is_no_part_of_the_image(extent):
    """An image at the left top of its canvas, which is full of ones elsewhere, has the boxes that it has by itself."""
    width, height = (round(40 * share) for share in extent)
    alone = discs(height, width, CENTRES, RADII)
    canvas = torch.ones(3, 40, 40)
    canvas[:, :height, :width] = alone
    torch.testing.assert_close(boxes_of_logits(canvas, torch.tensor(extent)), boxes_of_logits(alone, FULL))


def test_an_empty_mask_has_no_box_and_a_full_one_the_image():
    found = boxes_of_logits(torch.stack([torch.full((5, 6), -1.0), torch.ones(5, 6)]), FULL)
    assert found.tolist() == [[0, 0, 0, 0], [0, 0, 1, 1]]


def test_images_of_a_batch_are_read_as_each_alone():
    logits = torch.randn(4, 3, 9, 7)
    extent = torch.rand(4, 2) * 0.7 + 0.3
    found = boxes_of_logits(logits, extent)
    for row in range(4):
        torch.testing.assert_close(found[row], boxes_of_logits(logits[row], extent[row]))
