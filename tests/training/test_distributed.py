"""Two processes with unequal shares of a batch compute what one process with all of it does."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F

from find.errors import FindError
from find.tasks.late_interaction import late_interaction
from find.tasks.losses import contrastive
from find.training.distributed import gather_entities, gather_rows, propagate_errors

ROWS = (slice(0, 3), slice(3, 5))
"""Of the ranks: 5 images, 3 and 2."""


def loss(weight: torch.Tensor, rows: slice, width: int) -> torch.Tensor:
    """A contrastive loss of `rows` of a fixed batch whose entities are padded to `width`."""
    generator = torch.Generator().manual_seed(0)
    images, objects, entities = (torch.randn(5, *s, generator=generator) for s in ((5,), (4, 5), (3, 5)))
    padding = torch.tensor([[0, 0, 1], [0, 0, 1], [0, 1, 1], [0, 0, 0], [0, 1, 1]]).bool()
    image, query, found = (
        gather_rows(F.normalize(x[rows] @ weight, dim=-1)) for x in (images, entities.mean(dim=1), objects)
    )
    entity = F.normalize(entities[rows, :width] @ weight, dim=-1)
    return contrastive(10 * late_interaction(image, found, query, *gather_entities(entity, padding[rows, :width])))


def start_weight() -> torch.Tensor:
    return torch.randn(5, 5, generator=torch.Generator().manual_seed(1)).requires_grad_()


def in_two_processes(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    weight = start_weight()
    value = loss(weight, ROWS[rank], width=2 + rank)
    value.backward()
    dist.all_reduce(weight.grad)
    torch.save((value.detach(), weight.grad / 2), f"{folder}/{rank}.pt")  # what DDP makes of it

    try:
        with propagate_errors(torch.device("cpu")):
            if rank == 1:
                raise MemoryError("it broke here")
    except (FindError, MemoryError) as error:
        Path(folder, f"{rank}.txt").write_text(str(error))
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("ranks")
    mp.spawn(in_two_processes, (str(folder),), nprocs=2)
    return folder


def test_unequal_shares_give_the_loss_and_the_gradient_of_the_joint_batch(folder):
    weight = start_weight()
    expected = loss(weight, slice(None), width=3)
    expected.backward()
    for rank in (0, 1):
        value, gradient = torch.load(folder / f"{rank}.pt")
        torch.testing.assert_close(value, expected.detach())
        torch.testing.assert_close(gradient, weight.grad)


def test_failure_of_one_process_stops_all(folder):
    first, second = ((folder / f"{rank}.txt").read_text() for rank in (0, 1))
    assert first.startswith("process 1 failed") and second == "it broke here"
