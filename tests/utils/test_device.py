"""Claims about devices: one that is not here is told in a sentence of ours."""

import pytest
import torch
from small_run import CONFIG

from find.errors import FindError
from find.model.model import FIND
from find.utils.device import choose_device, own_gpu


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


def test_each_process_of_torchrun_has_a_gpu_of_its_own():
    assert [own_gpu(4, str(rank)) for rank in range(4)] == [0, 1, 2, 3]
    assert own_gpu(4, None) is None
    assert [own_gpu(1, str(rank)) for rank in range(3)] == [0, 0, 0]  # each sees its own only, or they share it
    with pytest.raises(FindError, match=r"process 3 of this machine finds 2 GPUs; .*--nproc-per-node 2"):
        own_gpu(2, "2")


@pytest.mark.parametrize("name", ["auto", "cuda"])
def test_a_name_without_a_number_is_the_process_s_own(name, monkeypatch):
    """Where torch says that there are two GPUs; choosing one must not touch the other."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert choose_device(name) == torch.device("cuda:1")
    monkeypatch.delenv("LOCAL_RANK")
    assert choose_device(name) == torch.device("cuda")
