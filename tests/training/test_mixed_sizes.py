"""A batch of images of several sizes: each learns as if it were alone."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from small_run import CONFIG
from torch import Tensor

from find.data.batch import Batch, Drawn
from find.data.collate import Collate
from find.data.transforms import crop
from find.model.model import FIND
from find.tasks.core import load_tasks
from find.tasks.points import AllPositions, MaskSampling, RandomPoints
from find.training.criterion import Criterion
from find.training.datamodule import FindDataModule
from find.world import generate_world


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> FindDataModule:
    root = generate_world(
        tmp_path_factory.mktemp("world") / "world", images=3, val_images=1, size=128, workers=1, progress=False
    )
    data = FindDataModule(root)
    data.setup()
    return data


@pytest.fixture(scope="module")
def mixed(world: FindDataModule) -> Batch:
    """Three shapes, of which none holds the others; regions lie in their own images."""
    sizes = [(128, 60), (50, 128), (96, 96)]
    samples = [crop(world.train_folder[k], 0, 0, *size) for k, size in enumerate(sizes)]
    batch = Collate(world.categories, load_tasks())(samples, [np.random.default_rng(k) for k in range(3)])
    assert batch.canvases == [(128, 64), (64, 128), (96, 96)] and batch.images.shape[-2:] == (128, 128)
    strokes, regions = batch.drawn["interactive"].strokes, batch.drawn["interleaved_segmentation"].regions
    regions, rows = torch.zeros_like(regions), torch.full(regions.shape[:2], -1)
    regions[:, 0], rows[:, 0] = strokes[:, 0], torch.arange(3)
    return batch.redrawn("interleaved_segmentation", regions=regions, region_rows=rows)


def alone(batch: Batch, row: int) -> Batch:
    """One image of the batch on its own canvas."""
    height, width = batch.canvases[row]

    def cut(value: object) -> object:
        if isinstance(value, Drawn):
            return replace(value, **{field.name: cut(getattr(value, field.name)) for field in fields(value)})
        if isinstance(value, dict):
            return {name: cut(part) for name, part in value.items()}
        value = value[row : row + 1]
        if isinstance(value, Tensor) and value.shape[-2:] == batch.images.shape[-2:]:
            return value[..., :height, :width]
        return value

    found = cut(batch)
    rows = found.drawn["interleaved_segmentation"].region_rows
    return found.redrawn("interleaved_segmentation", region_rows=rows.clamp(max=0))


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("sampling", [AllPositions(), RandomPoints(300)], ids=lambda one: type(one).__name__)
def test_a_batch_of_several_is_several_batches_of_one(world, mixed, sampling: MaskSampling, deep: bool):
    torch.manual_seed(0)
    model = FIND.build(CONFIG).train()
    criterion = Criterion(sampling=sampling, deep_supervision=deep)
    names = [category.words for category in world.categories]
    proposals = CONFIG.interface.queries - 1

    def learned(batch: Batch) -> tuple[dict[str, Tensor], Tensor, list[Tensor]]:
        """Sums over targets of all segmentation losses, the image's embedding, and the gradient of both."""
        own = criterion.forward(model, batch, names)
        sums = {}
        for name, task in model.tasks.items():
            if own.targets[name].matching is None:
                continue
            matching, (classes, weight) = own.targets[name].matching, own.targets[name].counts
            for number, found in enumerate(zip(matching.scores, matching.pixel, own.assigned[name], strict=True)):
                loss = task.layer_losses(own, *found)
                sums[f"{number} {name}"] = torch.stack([classes * loss.ce, weight * loss.bce, weight * loss.dice])
        image = torch.cat([x.flatten(1) for x in own.final.semantic.values() if x.shape[1] in (1, proposals)], dim=1)
        gradient = torch.autograd.grad(
            torch.cat(list(sums.values())).sum() + image.square().sum(), model.interface.parameters(), allow_unused=True
        )
        zeros = [torch.zeros_like(parameter) for parameter in model.interface.parameters()]
        return sums, image, [zero if g is None else g for g, zero in zip(gradient, zeros, strict=True)]

    together, images, gradient = learned(mixed)
    single = [learned(alone(mixed, row)) for row in range(3)]
    torch.testing.assert_close(images, torch.cat([image for _, image, _ in single]), rtol=1e-4, atol=1e-4)
    for name, loss in together.items():
        torch.testing.assert_close(loss, sum(sums[name] for sums, _, _ in single), rtol=1e-4, atol=1e-3)
    for number, (name, _) in enumerate(model.interface.named_parameters()):
        expected = sum(gradients[number] for _, _, gradients in single)
        scale = max(expected.abs().max().item(), 1.0)
        torch.testing.assert_close(gradient[number], expected, rtol=1e-2, atol=2e-3 * scale, msg=name)
