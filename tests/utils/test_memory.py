"""Batches that do not fit into memory are halved; what does not fit at all is told as what it is."""

import warnings

import numpy as np
import pytest
import torch
from small_run import CONFIG

from find.errors import FindError
from find.evaluation.distributed import in_order, rows_in_order
from find.model.model import FIND
from find.query.query import Query
from find.utils.memory import FittingBatches, OutOfMemory, SmallerBatches, is_out_of_memory

CHANCE = np.random.default_rng(0)
PICTURES = [CHANCE.integers(0, 256, (96, 96, 3)).astype(np.uint8) for _ in range(7)]
QUERIES = [Query.parse("{a red dog}")] * 7


class Narrow(torch.nn.Module):
    """A vision encoder in a memory that holds `most` images at a time."""

    def __init__(self, encoder, most: int) -> None:
        super().__init__()
        self.encoder, self.most, self.seen = encoder, most, []

    def forward(self, images):
        self.seen.append(len(images))
        if len(images) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nand pages of advice")
        return self.encoder(images)


@pytest.fixture
def narrow():
    """Gives a model whose memory holds so many images."""

    def make(most: int) -> FIND:
        torch.manual_seed(0)
        model = FIND.build(CONFIG)
        model.vision = Narrow(model.vision, most)
        return model

    return make


METHODS = {
    "embed_images": lambda model, **options: model.embed_images(PICTURES, **options).objects,
    "segment": lambda model, **options: [answer[0].mask for answer in model.segment(PICTURES, QUERIES, **options)],
    "ground": lambda model, **options: [a[0].mask for a in model.ground(PICTURES, [["a dog"]] * 7, **options)],
    "semantic": lambda model, **options: model.semantic(PICTURES, ["dog", "sky"], **options),
    "encode_images": lambda model, **options: (
        model.embed_images(model.encode_images(PICTURES, **options)).image  # as all methods take features
    ),
}


@pytest.mark.parametrize("ask", METHODS.values(), ids=METHODS.keys())
def test_a_batch_is_halved_until_it_fits_and_that_is_told_once(narrow, ask):
    model, wide = narrow(2), narrow(100)
    with pytest.warns(SmallerBatches, match="out of memory with a batch of 6; batches of 1 fit") as expected:
        found = ask(narrow(1), batch_size=6)
    assert len(expected) == 1
    with pytest.warns(SmallerBatches, match="out of memory with a batch of 7; batches of 1 fit"):
        ask(model)  # 7, 3, then 1: never more than fits
    wanted = ask(wide)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = ask(model)
    assert model.vision.seen[-7:] == [1] * 7
    for one, other in ((found, wanted), (again, wanted)):
        for left, right in zip(one, other, strict=True):
            torch.testing.assert_close(torch.as_tensor(left), torch.as_tensor(right), atol=1e-5, rtol=1e-5)


def test_what_does_not_fit_at_all_is_told_in_one_line(narrow):
    model = narrow(0)
    message = r"^out of memory, even with one item at a time \(CUDA out of memory. Tried to allocate 2.00 GiB.\); end"
    with pytest.raises(OutOfMemory, match=message) as expected:
        model.segment(PICTURES, QUERIES)
    assert "\n" not in str(expected.value) and model.vision.seen == [7, 3, 1]


def test_other_errors_are_no_shortage(narrow):
    model = narrow(9)
    model.vision.encoder = torch.nn.Linear(2, 2)
    with pytest.raises(RuntimeError, match=r"dtype|shapes"):
        model.embed_images(PICTURES)
    assert not is_out_of_memory(RuntimeError("shapes cannot be multiplied")) and not is_out_of_memory(ValueError("x"))


def test_the_cpu_s_own_shortage_is_recognised():
    """Two exabytes, which no machine has."""
    for allocate in (lambda: torch.empty(1 << 61, dtype=torch.uint8), lambda: np.empty((1 << 31, 1 << 30), np.uint8)):
        with pytest.raises((RuntimeError, MemoryError)) as error:
            allocate()
        assert is_out_of_memory(error.value)


def test_evaluation_halves_what_any_system_cannot_hold():
    asked = []

    def squares(chunk):
        asked.append(len(chunk))
        if len(chunk) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return [number**2 for number in chunk]

    with pytest.warns(SmallerBatches) as expected:
        assert in_order(range(10), squares, batch_size=4, title="squares") == [n**2 for n in range(10)]
    assert asked == [4, 2, 2, 2, 2, 2] and len(expected) == 1
    with pytest.warns(SmallerBatches):
        (rows,) = rows_in_order(range(10), lambda chunk: [torch.tensor(squares(chunk))], batch_size=8, title="rows")
    assert rows.tolist() == [n**2 for n in range(10)]


def test_evaluation_tells_a_shortage_as_what_it_is():
    def never(chunk):
        raise MemoryError

    for work in (in_order, rows_in_order):
        with pytest.raises(FindError, match=r"out of memory, even with one item at a time \(MemoryError\)"):
            work(range(3), never, batch_size=2, title="never")


def test_only_what_is_left_is_asked_at_once():
    asked = []
    FittingBatches(8).each(lambda part: asked.append(list(part)), range(3))
    assert asked == [[0, 1, 2]]
