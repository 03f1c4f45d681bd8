"""Two processes train as one with the batches of both: the same losses and gradients, each image once."""

import socket
from pathlib import Path

import pytest
import torch
from two_processes import CASES, Seen, joined, module, run, run_in_two_processes

from find.data.coco import CocoFolder
from find.world import generate_world

OWN = {"panoptic", "grounding", "interactive", "caption"}
"""Tasks whose prompts come from an image itself; sentences show regions of images of the same process."""
TASKS = OWN | {"interleaved", "sentence", "retrieval", "entity"}


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("world") / "data"
    return generate_world(root, images=24, val_images=13, size=96, workers=1, progress=False)


@pytest.fixture(scope="module")
def seen(world, tmp_path_factory) -> tuple[Seen, Seen]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return run_in_two_processes(world, tmp_path_factory.mktemp("ranks"), port)


@pytest.mark.parametrize("step", range(len(CASES)), ids=[case.__name__ for case in CASES])
def test_losses_and_gradients_are_those_of_the_joint_batch(seen, world, step):
    """Also where a process has nothing of some task."""
    first, second = (one.steps[step] for one in seen)
    alone = module()
    names = [category.words for category in CocoFolder(world, "train2017").categories]
    losses = alone.criterion(alone.find, joined(first.batch, second.batch), names)
    torch.stack(list(losses.values())).sum().backward()
    assert set(losses) == TASKS
    for one in (first, second):
        assert {name: one.losses[name] for name in TASKS} == pytest.approx(
            {name: value.item() for name, value in losses.items()}, rel=1e-5
        )
        for name, value in alone.find.interface.named_parameters():
            torch.testing.assert_close(one.gradients[name], value.grad, rtol=1e-4, atol=1e-5, msg=name)


def test_every_image_is_validated_once_and_the_figures_are_those_of_one_process(seen, world):
    folder = CocoFolder(world, "val2017")
    images = [id for one in seen for batch in one.validated for id in batch]
    assert sorted(images) == sorted(folder.image_ids)
    alone = run(world, batch_size=6, steps=1, devices=1)
    assert [sorted(batch) for batch in alone.validated] == [
        sorted([*first, *second]) for first, second in zip(*(one.validated for one in seen), strict=True)
    ]
    for name in OWN:
        for one in seen:
            assert one.validation[f"val/{name}"] == pytest.approx(alone.validation[f"val/{name}"], rel=1e-5)


def test_foundations_are_not_sent(seen):
    sent = {name.removeprefix("find.interface.") for name in seen[0].sent}
    interface = module().find.interface
    assert sent == {name for part in (interface.named_parameters(), interface.named_buffers()) for name, _ in part}
