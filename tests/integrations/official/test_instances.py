"""A converted checkpoint chooses its instances as the published model does."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_run import CONFIG

from find.integrations.official.published import CONVENTIONS
from find.model.model import FIND

PICTURE = np.random.default_rng(0).integers(0, 256, (96, 128, 3)).astype(np.uint8)
NAMES, THINGS = [f"kind {number}" for number in range(10)], [True] * 3 + [False] * 7


@pytest.mark.parametrize("published", [False, True])
def test_instances_are_the_things_among_the_best_hundred_pairs(published):
    torch.manual_seed(0)
    conventions = replace(CONFIG.conventions, pairs_before_things=published)
    model = FIND.build(replace(CONFIG, conventions=conventions))
    found = model.instances([PICTURE], NAMES, THINGS)[0]
    every = model.instances([PICTURE], NAMES, [True] * 10)[0]  # the best hundred of all 24 x 10 pairs
    assert (len(found.labels) < len(every.labels) == 100) and found.labels.max() < 3
    among = [score for score, label in zip(every.scores, every.labels, strict=True) if label < 3]
    assert (found.scores.tolist() == pytest.approx(among, rel=1e-5)) is published
    assert (len(found.labels) == 3 * 24) is not published


def test_converted_checkpoints_do_so():
    assert CONVENTIONS.pairs_before_things
