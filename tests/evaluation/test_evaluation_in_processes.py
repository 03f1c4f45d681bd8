"""Figures are the same to the last digit whatever the number of processes and the batch size, and errors reach all."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F
from oracle import Oracle
from processes import start_method
from small_folder import write_folder

from find.data.coco import CocoFolder
from find.errors import FindError
from find.evaluation.distributed import in_order, is_first, rows_in_order
from find.evaluation.evaluate import evaluate
from find.evaluation.systems.frozen_foundations import words_of
from find.model.predictions import EntityMask, QueryEmbeddings

OPTIONS = {"gallery": 5, "large_gallery": 8, "clicked_images": 3, "progress": False}


class Clumsy(Oracle):
    """Wrong in a way of its own for every mask and vector, but always in the same way."""

    def fault(self, mask: np.ndarray) -> np.ndarray:
        return mask & (np.random.default_rng(int(mask.sum())).random(mask.shape) < 0.8)

    def interact(self, images, strokes, negatives=None):
        """Better with each click, at a pace that depends on the segment."""
        truth = Oracle(self.folder).interact(images, strokes)
        answers = []
        for row, stack in zip(truth, strokes, strict=True):
            share = [min(1, 0.7 + 0.01 * stroke.sum() * (answer.mask.sum() % 3 + 1) / 9)
                     for answer, stroke in zip(row, stack, strict=True)]  # fmt: skip
            answers.append([
                EntityMask(answer.mask & (np.random.default_rng(7).random(answer.mask.shape) < part), 1.0)
                for answer, part in zip(row, share, strict=True)
            ])  # fmt: skip
        return answers

    def embed_images(self, images):
        found = super().embed_images(images)
        return ObjectImages(noisy(found.image, 1.0, 0), noisy(found.image[:, None].repeat(1, 4, 1), 0.5, 1))

    def embed_texts(self, texts):
        return noisy(super().embed_texts(texts), 0.8, 2)

    def embed_queries(self, queries):
        query = self.embed_texts([words_of(query) for query in queries])
        most = max(len(query.entities) for query in queries)
        padding = torch.tensor([[k >= len(query.entities) for k in range(most)] for query in queries])
        return QueryEmbeddings(query, noisy(query[:, None].repeat(1, most, 1), 0.6, 3), padding, ((),) * len(queries))


class ObjectImages:
    def __init__(self, image, objects) -> None:
        self.image, self.objects = image, objects


def noisy(rows: torch.Tensor, share: float, seed: int) -> torch.Tensor:
    """Unit vectors with noise that depends on each row alone, whatever stands beside it."""
    flat = rows.reshape(-1, rows.shape[-1])
    noise = [
        torch.randn(len(row), generator=torch.Generator().manual_seed(100 * seed + int(row.argmax()))) for row in flat
    ]
    return F.normalize(rows + share * torch.stack(noise).reshape(rows.shape), dim=-1)


def figures(root: Path, batch_size: int) -> dict:
    folder = CocoFolder(root, "val2017")
    found = evaluate(Clumsy(folder), folder, batch_size=batch_size, **OPTIONS).to_json()
    return {key: value for key, value in found.items() if key != "seconds"}


def in_processes(rank: int, root: str, out: str) -> None:
    """Three processes, then two of them, evaluate; batches are of another size each time."""
    torch.set_num_threads(1)
    for world, batch_size in ((3, 2), (2, 1)):
        if rank >= world:
            return
        dist.init_process_group("gloo", init_method=f"file://{out}/meet-{world}", rank=rank, world_size=world)
        found = figures(Path(root), batch_size)
        ids, halves = rows_in_order(range(5), rows_of, batch_size=2, title="rows")
        assert ids.tolist() == list(range(5)) and halves[:, 0].tolist() == [0, 0.5, 1, 1.5, 2]
        try:
            in_order(range(4), fails_at_3, batch_size=1, title="failing")
        except FindError as error:
            found["error"] = str(error)
        assert is_first() == (rank == 0)
        Path(out, f"{world}-{rank}.json").write_text(json.dumps(found))
        dist.destroy_process_group()


def rows_of(ids):
    return torch.tensor(ids), torch.tensor(ids)[:, None] / 2


def fails_at_3(chunk):
    if 3 in chunk:
        raise FindError("image 3 is broken")
    return chunk


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    write_folder(tmp_path_factory.mktemp("world") / "data")
    return next(tmp_path_factory.getbasetemp().glob("world*/data"))


@pytest.fixture(scope="module")
def alone(data: Path) -> dict:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    found = json.loads(json.dumps(figures(data, batch_size=32)))
    torch.set_num_threads(threads)
    return found


def test_the_clumsy_system_gives_figures_worth_comparing(alone: dict):
    values = [value for task in alone["intervals"].values() for ends in task.values() for value in ends]
    assert len({round(value, 6) for value in values}) > 18
    assert 0 < alone["retrieval"]["IR@1"] < 100
    assert 0 < alone["panoptic"]["PQ"] < 100 and alone["interactive"]["NoC@90"] > 1


@pytest.mark.parametrize("batch_size", [1, 3])
def test_the_batch_size_changes_nothing(data: Path, alone: dict, batch_size: int):
    torch.set_num_threads(1)
    assert json.loads(json.dumps(figures(data, batch_size))) == alone


def test_the_number_of_processes_changes_nothing(data: Path, alone: dict, tmp_path: Path):
    mp.start_processes(in_processes, (str(data), str(tmp_path)), nprocs=3, start_method=start_method())
    for world, rank in ((3, 0), (3, 1), (3, 2), (2, 0), (2, 1)):
        found = json.loads((tmp_path / f"{world}-{rank}.json").read_text())
        assert found.pop("error") == "image 3 is broken"
        assert found == alone


def test_a_wrong_number_of_answers_is_refused():
    with pytest.raises(FindError, match="asking: 1 answers to 2 questions"):
        in_order([1, 2], lambda chunk: chunk[:1], batch_size=2, title="asking")
