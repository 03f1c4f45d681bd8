"""The loaders give every image in batches that do not depend on how many processes make them."""

import pytest
import torch

from find.data.coco import CocoFolder
from find.data.transforms import HorizontalFlip
from find.errors import FindError
from find.images.canvas import Resizing
from find.training.datamodule import FindDataModule

SMALL = Resizing(shortest=96, longest=96, divisor=32)


def module(root, stage: str = "fit", **options) -> FindDataModule:
    options = {"train_split": "val2017", "batch_size": 2, **options}
    data = FindDataModule(root, **options)
    data.setup(stage)
    return data


def test_validation_sees_every_image_once_and_always_the_same(tiny):
    data = module(tiny.root, "validate")
    first, second = (list(data.val_dataloader()) for _ in range(2))
    assert sorted(id for batch in first for id in batch.image_ids) == [1, 2, 3]
    strokes = [[batch.drawn["interactive"].strokes for batch in batches] for batches in (first, second)]
    assert all(torch.equal(one, other) for one, other in zip(*strokes, strict=True))
    assert data.train_folder is None


@pytest.mark.parametrize("cache_in_memory", [False, True])
def test_batches_are_the_same_from_worker_processes(tiny, cache_in_memory):
    def batches(workers: int) -> list:
        options = {"cache_in_memory": cache_in_memory, "transforms": [HorizontalFlip()], "resizing": SMALL}
        data = module(tiny.root, num_workers=workers, **options)
        loader = data.train_dataloader()
        found = []
        for epoch in (0, 1, 2):
            loader.sampler.set_epoch(epoch)
            found += list(loader)
        return found

    alone, helped = batches(0), batches(2)
    assert len(alone) == 3 and alone[0].images.shape[-2:] == (96, 96)
    for one, other in zip(alone, helped, strict=True):
        assert one.image_ids == other.image_ids
        assert torch.equal(one.images, other.images)
        asked = [batch.drawn["interleaved_segmentation"] for batch in (one, other)]
        assert asked[0].queries == asked[1].queries and torch.equal(asked[0].regions, asked[1].regions)


def test_categories_are_known_before_training(tiny):
    assert [one.words for one in FindDataModule(tiny.root).categories] == ["person", "dog", "sky"]


def test_images_smaller_than_the_stride_are_refused_before_training(tiny):
    with pytest.raises(FindError, match=r"3 images are smaller than the stride 64 .*000000000001\.jpg of 64 x 48"):
        module(tiny.root, divisor=64)
    assert module(tiny.root, divisor=64, resizing=SMALL).train_folder is not None


def test_images_have_the_size_at_which_the_model_sees_them(tiny):
    native = next(iter(module(tiny.root, "validate").val_dataloader()))
    fitting, other = (Resizing(shortest=side, longest=100, divisor=32) for side in (48, 96))
    same = next(iter(module(tiny.root, "validate", resizing=fitting).val_dataloader()))
    assert torch.equal(same.images, native.images) and torch.equal(same.segments, native.segments)
    larger = next(iter(module(tiny.root, "validate", resizing=other).val_dataloader()))
    frame = other.fit(48, 64)
    assert larger.sizes.tolist() == [[frame.inner_height, frame.inner_width]] * 2 == [[75, 100]] * 2
    assert tuple(larger.images.shape[2:]) == frame.canvas
    image = CocoFolder(tiny.root, "val2017").image(larger.image_ids[0])
    assert (larger.images[0].int() - frame.place(image).int()).abs().max() <= 1


def test_images_too_narrow_to_resize_are_refused_before_training(tiny):
    with pytest.raises(FindError, match=r"000000000001\.jpg: a picture of 64x48 pixels is too narrow"):
        module(tiny.root, resizing=Resizing(shortest=3, longest=4, divisor=32))


def test_segments_beyond_the_models_proposals_are_counted(tiny, recwarn):
    with pytest.warns(UserWarning, match=r"val2017: 3 of 3 images have more than 1 segments.* their 3 smallest"):
        module(tiny.root, "validate", max_segments=1)
    recwarn.clear()
    module(tiny.root, "validate", max_segments=2)
    assert not recwarn


def test_splits_with_different_categories_are_refused(tiny):
    for kind in ("panoptic_val2017", "val2017"):
        (tiny.root / kind.replace("val", "train")).symlink_to(tiny.root / kind)
    changed = {**tiny.files["panoptic_val2017.json"]}
    changed["categories"] = changed["categories"][::-1]
    tiny.files["panoptic_train2017.json"] = changed
    with pytest.raises(FindError, match="train2017 and val2017 list different categories"):
        module(tiny.write(), train_split="train2017")


def test_real_photographs_make_batches(shared):
    root = shared / "coco-sample" / "coco"
    data = FindDataModule(root, batch_size=6, resizing=Resizing(shortest=128, longest=128, divisor=32))
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    folder = CocoFolder(root, "train2017")
    assert len(batch) == 6 and batch.images.shape[-1] == 128
    for row, image_id in enumerate(batch.image_ids):
        usable = [segment for segment in folder.segments(image_id) if not segment.is_crowd]
        assert 1 <= (batch.labels[row] >= 0).sum() <= len(usable)
        present = batch.segments[row].unique().tolist()
        assert set(present) - {-1} == set(range((batch.labels[row] >= 0).sum()))
