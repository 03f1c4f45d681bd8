"""Claims about devices: one that is not here is told in a sentence of ours."""

import pytest
import torch
from small_run import CONFIG

from find.errors import FindError
from find.model.model import FIND
from find.utils.device import choose_device


def test_a_name_of_no_device():
    with pytest.raises(FindError, match=r"^there is no device called 'abacus'; known are cpu, cuda, cuda:1 and mps$"):
        choose_device("abacus")
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device() == choose_device("auto")


def test_a_device_that_is_not_here():
    missing = f"cuda:{torch.cuda.device_count()}"
    model = FIND.build(CONFIG)
    for call in (lambda: choose_device(missing), lambda: model.to(missing), lambda: model.to(device=missing)):
        with pytest.raises(FindError, match=f"^there is no device '{missing}' here: [^:/]*$"):
            call()
    assert model.to("cpu") is model and model.to(torch.float32) is model and model.device == torch.device("cpu")
