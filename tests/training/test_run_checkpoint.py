"""A checkpoint that is damaged, or holds a program, is refused before a run is resumed from it."""

import pickle
import random
from pathlib import Path

import pytest
import torch

from find.errors import FindError
from find.training.run_checkpoint import check_run_checkpoint


class Program:
    """What runs when it is unpickled: it makes a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple:
        return Path.touch, (self.mark,)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    torch.save({"state_dict": {"a": torch.arange(5000.0)}, "find": {"format": 1}, "epoch": 3}, tmp_path / "last.ckpt")
    return tmp_path / "last.ckpt"


def test_a_sound_checkpoint_is_accepted(checkpoint: Path):
    check_run_checkpoint(checkpoint)


def test_wherever_it_is_cut_or_changed_it_is_told(checkpoint: Path):
    rng, whole = random.Random(0), checkpoint.read_bytes()
    expected = 0
    for number in range(200):
        data = bytearray(whole[: rng.randrange(len(whole))] if number % 2 else whole)
        for _ in range(0 if number % 2 else 8):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        checkpoint.write_bytes(data)
        try:
            check_run_checkpoint(checkpoint)
        except FindError as error:
            assert "last.ckpt" in str(error) and "resume from another one, or train from the start" in str(error)
            expected += 1
    assert expected >= 190  # what is left are bits of padding and of times


@pytest.mark.parametrize("content", [b"", b"{}", b"PK", b"PK\x05\x06" + b"\0" * 18, b"\x80\x04]."])
def test_files_that_are_none_are_told(checkpoint: Path, content: bytes):
    checkpoint.write_bytes(content)
    with pytest.raises(FindError, match=r"last\.ckpt is truncated or not a checkpoint of `findvl fit`"):
        check_run_checkpoint(checkpoint)
    with pytest.raises(FindError, match="there is no such checkpoint"):
        check_run_checkpoint(checkpoint.with_name("other.ckpt"))


def test_a_program_in_a_checkpoint_is_not_run(checkpoint: Path, tmp_path: Path):
    mark = tmp_path / "run"
    pickle.loads(pickle.dumps(Program(mark)))
    mark.unlink()
    torch.save({"state_dict": {}, "find": Program(mark)}, checkpoint)
    with pytest.raises(FindError, match="contains objects other than tensors and plain values, which could run code"):
        check_run_checkpoint(checkpoint)
    assert not mark.exists()
