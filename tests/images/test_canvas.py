"""Pictures keep their place on the way into the encoder and masks on the way back."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from find.errors import FindError
from find.images import canvas
from find.images.canvas import Resizing, by_canvas

RESIZING = Resizing(shortest=64, longest=128, divisor=32)


@pytest.mark.parametrize(
    ("size", "inner", "canvas"),
    [
        ((64, 64), (64, 64), (64, 64)),
        ((32, 48), (64, 96), (64, 96)),  # enlarged until the shorter side fits
        ((50, 200), (32, 128), (32, 128)),  # the longer side limits
        ((200, 50), (128, 32), (128, 32)),
        ((70, 90), (64, 82), (64, 96)),  # padded to the divisor
    ],
)
def test_known_frames(size, inner, canvas):
    frame = RESIZING.fit(*size)
    assert (frame.inner_height, frame.inner_width) == inner
    assert frame.canvas == canvas


def test_too_narrow_picture_is_refused_with_its_size():
    with pytest.raises(FindError, match=r"a picture of 1000x10 pixels is too narrow.*128x1; crop it"):
        RESIZING.fit(10, 1000)


@settings(max_examples=50, deadline=None)
@given(st.integers(8, 300), st.integers(8, 300))
def test_frames_keep_the_aspect_and_fill_a_whole_number_of_cells(height, width):
    if max(height, width) > 16 * min(height, width):
        return
    frame = RESIZING.fit(height, width)
    assert min(frame.inner_height, frame.inner_width) <= 64 and max(frame.inner_height, frame.inner_width) <= 128
    assert abs(frame.inner_height * width - frame.inner_width * height) <= max(height, width)
    for side, inner in zip(frame.canvas, (frame.inner_height, frame.inner_width), strict=True):
        assert side % 32 == 0 and 0 <= side - inner < 32


def test_picture_of_the_right_size_is_placed_as_it_is_with_zeros_beside():
    image = np.random.default_rng(0).integers(0, 256, (64, 80, 3), dtype=np.uint8)
    placed = RESIZING.fit(64, 80).place(image)
    assert placed.dtype == torch.uint8
    assert np.array_equal(placed[:, :64, :80].permute(1, 2, 0).numpy(), image)
    assert not placed[:, :, 80:].any()


def test_even_colour_stays_when_resized():
    image = np.full((33, 47, 3), (10, 200, 255), dtype=np.uint8)
    frame = RESIZING.fit(33, 47)
    inner = frame.place(image)[:, : frame.inner_height, : frame.inner_width]
    assert (inner == torch.tensor([10, 200, 255])[:, None, None]).all()


def test_single_pixel_of_a_large_picture_survives_on_the_canvas():
    mask = np.zeros((640, 480), dtype=bool)
    mask[100, 333] = True
    placed = RESIZING.fit(640, 480).place_mask(mask)
    rows, columns = placed.nonzero().T
    assert len(rows) >= 1
    assert (rows - int(100 * 64 / 480)).abs().max() <= 1 and (columns - int(333 * 64 / 480)).abs().max() <= 1


def test_mask_of_another_size_is_refused_with_both_sizes():
    with pytest.raises(FindError, match="a mask of 64x80 pixels for a picture of 80x64"):
        RESIZING.fit(64, 80).place_mask(np.zeros((80, 64), dtype=bool))


@pytest.mark.parametrize("size", [(64, 64), (60, 90), (200, 150), (40, 160), (30, 31)])
def test_mask_drawn_on_the_canvas_comes_back_to_its_place(size):
    """A left-top quarter, as logits at stride 4: its edge may move by a cell of the mask features at most."""
    frame = RESIZING.fit(*size)
    half_h, half_w = frame.inner_height // 2, frame.inner_width // 2
    logits = torch.full((1, *frame.canvas), -5.0)
    logits[:, :half_h, :half_w] = 5
    back = frame.crop(torch.nn.functional.avg_pool2d(logits, 4))[0] > 0
    expected = torch.zeros(size, dtype=torch.bool)
    expected[: size[0] // 2, : size[1] // 2] = True
    cell = 4 * size[0] / frame.inner_height
    assert back.shape == expected.shape
    assert (back != expected).sum() <= (sum(size) / 2) * (cell + 1)


@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(st.integers(20, 200), st.integers(20, 200)),
    masks=st.integers(0, 5),
    bicubic=st.booleans(),
    drawn=st.sampled_from([1, 3000, 20_000]),
    widened=st.sampled_from([1, 20_000, 2**26]),
    narrowest=st.integers(4, 20),
)
def test_masks_drawn_in_pieces_are_those_drawn_at_once(size, masks, bicubic, drawn, widened, narrowest):
    """Whatever the pieces' size, for pictures smaller and larger than the canvas; every column comes once, in order."""
    frame = Resizing(shortest=64, longest=128, divisor=32, bicubic=bicubic).fit(*size)
    logits = 5 * torch.randn(masks, *(side // 4 for side in frame.canvas), generator=torch.Generator().manual_seed(0))
    full = frame.crop(logits)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("DRAWN", drawn), ("WIDENED", widened), ("NARROWEST", narrowest)):
            patch.setattr(canvas, name, value)
        parts, strips, inside = list(frame.parts(logits)), list(frame.strips(logits)), frame.inside(logits)
    assert torch.cat([torch.arange(size[1])[columns] for columns, _ in strips]).tolist() == list(range(size[1]))
    rounding = {"rtol": 0, "atol": 5e-5}  # torch weighs by other paths in pieces of other sizes
    torch.testing.assert_close(torch.cat(parts), full, **rounding)
    torch.testing.assert_close(torch.cat([strip for _, strip in strips], dim=-1), full, **rounding)
    assert torch.equal(inside, torch.cat(parts) > 0)


def test_pieces_of_a_large_picture_are_small():
    frame = Resizing(shortest=64, longest=128, divisor=32).fit(3000, 4000)
    logits = torch.randn(100, 16, 24)
    assert all(part.shape == (1, 3000, 4000) for part in frame.parts(logits[:2]))
    _, strip = next(iter(frame.strips(logits)))
    assert strip.shape[:2] == (100, 3000) and strip.shape[2] <= canvas.NARROWEST


def test_pictures_are_grouped_by_canvas_in_batches_and_none_is_lost():
    frames = [RESIZING.fit(*size) for size in ((64, 64), (64, 96), (65, 65), (128, 192), (30, 30))]
    groups = list(by_canvas(frames, batch_size=2))
    assert groups == [[0, 2], [4], [1, 3]]
