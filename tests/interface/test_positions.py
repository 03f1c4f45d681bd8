"""The sine position code is Mask2Former's."""

import pytest
import torch
from transformers.models.mask2former.modeling_mask2former import Mask2FormerSinePositionEmbedding

from find.interface.positions import sine_positions


@pytest.mark.parametrize(("height", "width", "channels"), [(5, 5, 32), (3, 8, 48), (1, 2, 4)])
def test_equals_the_sine_embedding_of_transformers(height, width, channels):
    theirs = Mask2FormerSinePositionEmbedding(channels // 2, normalize=True)
    expected = theirs(torch.Size([1, channels, height, width]), torch.device("cpu"), torch.float32)[0]
    found = sine_positions(height, width, channels)
    torch.testing.assert_close(found, expected.flatten(1).T, rtol=1e-5, atol=1e-5)
