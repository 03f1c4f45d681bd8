"""Claims about errors: bad input, data, models and training each have a kind of their own, and one line."""

import numpy as np
import pytest
import torch

from find import FIND, Album, CheckpointError, DataError, DivergenceError, FindError, InputError, Query, Region
from find.data.coco import CocoFolder
from find.tasks.matching import hungarian


def _no_number(folder):
    hungarian([torch.full((1, 2, 1), torch.nan)], [torch.ones(1, 1, dtype=torch.bool)])


def _broken_weights(folder):
    (folder / "config.json").write_text("{")
    (folder / "interface.safetensors").write_bytes(b"")
    FIND.from_pretrained(folder)


CASES = {
    "query": (InputError, lambda folder: Query.parse("{a dog")),
    "region": (InputError, lambda folder: Region(np.zeros((4, 4, 3), np.uint8), points=(9, 9))),
    "image": (InputError, lambda folder: Region(folder / "none.jpg", box=(0, 0, 1, 1)).pixels()),
    "data set": (DataError, lambda folder: CocoFolder(folder, "val")),
    "album": (DataError, lambda folder: Album.open(folder / "none.album")),
    "name of a model": (CheckpointError, lambda folder: FIND.from_pretrained("find-tini")),
    "weights": (CheckpointError, _broken_weights),
    "training": (DivergenceError, _no_number),
}


@pytest.mark.parametrize("what", CASES)
def test_each_kind_of_fault_has_its_error_of_one_line(what, tmp_path):
    kind, fault = CASES[what]
    with pytest.raises(FindError) as expected:
        fault(tmp_path)
    assert type(expected.value).__mro__[:-1].count(kind) == 1
    others = {InputError, DataError, CheckpointError, DivergenceError} - {kind}
    assert not isinstance(expected.value, tuple(others))
    assert "\n" not in str(expected.value)
