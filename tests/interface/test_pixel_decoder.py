"""The pixel decoder is a feature pyramid over torch's own transformer encoder, written out here step by step."""

import pytest
import torch
import torch.nn.functional as F
from small import CHANNELS, Inputs, small_interface
from torch import Tensor, nn

from find.interface.positions import sine_positions


@pytest.fixture(scope="module")
def decoder():
    return small_interface().pixel_decoder


def normed(block: nn.Sequential, x: Tensor) -> Tensor:
    conv, norm = block
    y = F.conv2d(x, conv.weight, padding=conv.weight.shape[-1] // 2)
    return F.group_norm(y, 32, norm.weight, norm.bias)


@torch.no_grad()
def test_equals_the_pyramid_written_out(decoder):
    """3 x 5 coarsest cells: sizes that do not divide evenly between levels."""
    torch.manual_seed(0)
    sizes = ((20, 38), (10, 19), (5, 10), (3, 5))
    maps = [torch.randn(2, c, *size) for c, size in zip(CHANNELS, sizes, strict=True)]

    x = F.conv2d(maps[3], decoder.input_proj.weight, decoder.input_proj.bias).flatten(2).transpose(1, 2)
    positions = sine_positions(3, 5, 32)
    for layer in decoder.encoder:
        attention = nn.MultiheadAttention(32, 4, batch_first=True)
        attention.load_state_dict(layer.self_attn.state_dict())
        x = layer.norm1(x + attention(x + positions, x + positions, x)[0])
        x = layer.norm2(x + layer.linear2(layer.linear1(x).relu()))
    y5 = normed(decoder.outputs[0], x.transpose(1, 2).reshape(2, 32, 3, 5)).relu()
    y4 = normed(decoder.outputs[1], normed(decoder.laterals[0], maps[2]) + F.interpolate(y5, (5, 10))).relu()
    y3 = normed(decoder.outputs[2], normed(decoder.laterals[1], maps[1]) + F.interpolate(y4, (10, 19))).relu()
    y2 = normed(decoder.outputs[3], normed(decoder.laterals[2], maps[0]) + F.interpolate(y3, (20, 38))).relu()
    drawn = F.conv2d(y2, decoder.mask_features.weight, decoder.mask_features.bias, padding=1)

    found = decoder(maps)
    for level, expected in zip(found.levels, (y5, y4, y3), strict=True):
        torch.testing.assert_close(level, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.mask_features, drawn, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_image_memory_is_projected_levels_and_resized_mask_features():
    interface, inputs = small_interface(), Inputs.random()
    pixels, memory = interface.pixel_decoder(inputs.maps), inputs.memory(interface)
    assert memory.shapes == ((2, 3), (4, 6), (8, 12))
    for k, level in enumerate(pixels.levels):
        projected = interface.level_projections[k](level.permute(0, 2, 3, 1)).flatten(1, 2)
        torch.testing.assert_close(memory.levels[k], projected)
        resized = F.interpolate(pixels.mask_features, memory.shapes[k], mode="bilinear", align_corners=False)
        torch.testing.assert_close(memory.attention_features[k], resized.flatten(2))
