"""Any class that fits is data: what a reader does not give follows from the rest, and it is found by its name."""

import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from find.cli.main import main
from find.cli.training_data import with_reader
from find.data.cache import CachedFolder
from find.data.coco import CocoFolder
from find.data.data_split import DataSplit, load_reader, open_split
from find.data.sample import Category, Segment
from find.errors import DataError, InputError
from find.training.datamodule import FindDataModule
from find.utils.entry_points import declared


class Squares(DataSplit):
    """Images that are nowhere: a square of `side` pixels in each, further right from image to image."""

    def __init__(self, root, split, *, side: int = 8) -> None:
        categories = [Category(1, "square", True, (255, 0, 0), 0)]
        super().__init__(root, split, categories=categories, image_ids=(10, 20, 30))
        self.side = side

    def file_name(self, image_id: int) -> str:
        return f"{image_id}.png"

    def image_size(self, image_id: int) -> tuple[int, int]:
        return 32, 64

    def image(self, image_id: int) -> np.ndarray:
        return np.repeat(200 * (self.segment_map(image_id) > 0).astype(np.uint8)[..., None], 3, axis=2)

    def segment_map(self, image_id: int) -> np.ndarray:
        ids = np.zeros((32, 64), np.int32)
        ids[4 : 4 + self.side, image_id : image_id + self.side] = 7
        return ids

    def segments(self, image_id: int) -> tuple[Segment, ...]:
        return (Segment(7, 1, self.side**2, (image_id, 4, self.side, self.side)),)


def test_what_a_reader_does_not_give_follows_or_is_empty(tmp_path):
    split = Squares(tmp_path, "val")
    assert (len(split), split.position(20), split.sizes().tolist()) == (3, 1, [[32, 64]] * 3)
    assert split.segment_counts().tolist() == [1, 1, 1]
    sample = split.sample(20)
    assert (sample.image_id, sample.file_name, sample.segments[0].bbox) == (20, "20.png", (20, 4, 8, 8))
    assert (sample.captions, sample.sentences, sample.expressions, dict(sample.foils)) == ((), (), (), {})
    assert (split.held_out(), split.instances(print), split.probes(), split.hard_negatives()) == ({}, None, (), ())
    with pytest.raises(DataError, match="there is no image 25 in val"):
        split.position(25)
    assert pickle.loads(pickle.dumps(split)).sample(30).image.sum() == split.sample(30).image.sum()


def test_a_reader_that_lacks_a_part_cannot_be_made(tmp_path):
    class Half(DataSplit):
        def image(self, image_id):
            return np.zeros((2, 2, 3), np.uint8)

    with pytest.raises(TypeError, match="abstract"):
        Half(tmp_path, "val", categories=(), image_ids=())


def test_an_image_of_another_size_than_its_segments_is_refused(tmp_path):
    class Wrong(Squares):
        def image(self, image_id):
            return np.zeros((16, 16, 3), np.uint8)

    with pytest.raises(DataError, match=r"10\.png: the segments are 64 x 32 but the image is 16 x 16"):
        Wrong(tmp_path, "val")[0]


def test_the_defaults_agree_with_what_coco_reads_faster(tiny):
    coco = CocoFolder(tiny.root, "val2017")
    assert np.array_equal(DataSplit.sizes(coco), coco.sizes())
    assert np.array_equal(DataSplit.segment_counts(coco), coco.segment_counts())
    for position in range(len(coco)):
        plain, own = DataSplit.__getitem__(coco, position), coco[position]
        assert (plain.segments, plain.sentences, plain.captions) == (own.segments, own.sentences, own.captions)
        assert np.array_equal(plain.segment_map, own.segment_map) and np.array_equal(plain.image, own.image)


def test_what_is_kept_in_memory_is_what_was_read(tmp_path, tiny):
    for split in (Squares(tmp_path, "val"), CocoFolder(tiny.root, "val2017")):
        cached = CachedFolder(split)
        cached.fill()
        for position in range(len(split)):
            kept, read = cached[position], split[position]
            assert np.array_equal(kept.segment_map, read.segment_map) and kept.segment_map.dtype == np.int32
            assert (kept.segments, kept.sentences, kept.file_name) == (read.segments, read.sentences, read.file_name)


def test_batches_come_from_any_reader(tmp_path):
    data = FindDataModule(tmp_path, reader=Squares, reader_options={"side": 12}, batch_size=3)
    data.setup()
    (batch,) = list(data.val_dataloader())
    assert sorted(batch.image_ids) == [10, 20, 30] and batch.labels.tolist() == [[0]] * 3
    assert (batch.segments >= 0).sum() == 3 * 12 * 12
    assert (data.train_split, data.val_split) == ("train", "val")
    assert [category.name for category in data.categories] == ["square"]


def test_readers_are_found_by_name_and_by_class_path(tmp_path, monkeypatch):
    (tmp_path / "found_by_path.py").write_text("from test_data_split import Squares as Mine\nnumber = 3\n")
    info = tmp_path / "mine-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[find.data]\nsquares = found_by_path:Mine\nbroken = nowhere:Mine\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "test_data_split", sys.modules[__name__])
    declared.cache_clear()
    try:
        assert load_reader("squares") is load_reader("found_by_path.Mine") is Squares
        assert open_split(tmp_path, reader="squares", side=4).split == "val"
        for name, expected in (
            ("nosuch", "no reader of data 'nosuch'; there are .*coco.*squares"),
            ("broken", "nowhere:Mine cannot be imported"),
            ("found_by_path.number", "must be a subclass of"),
        ):
            with pytest.raises(InputError, match=expected):
                load_reader(name)
        with pytest.raises(InputError, match="Squares has no option 'colour'; it has side"):
            open_split(tmp_path, reader="squares", colour="red")
        spelt_out = ["fit", "-c", "tiny", "--data.reader", "squares", "--data.root", "x"]
        assert with_reader(["fit", "-c", "tiny", "--data", "squares", "--data.root", "x"]) == spelt_out
        assert with_reader(["fit", "--data=found_by_path.Mine"]) == ["fit", "--data.reader=found_by_path.Mine"]
        module = ["fit", "--data", "find.training.datamodule.FindDataModule"]
        assert with_reader(module) == module
    finally:
        declared.cache_clear()


def test_a_root_that_is_no_folder_is_told_before_anything_is_read(tmp_path: Path):
    with pytest.raises(DataError, match="there is no such folder"):
        Squares.check_root(tmp_path / "nowhere")
    with pytest.raises(DataError, match="no folder annotations/"):
        CocoFolder.check_root(tmp_path)


class TwoSquares(FindDataModule):
    """A data module that opens splits in its own way, with an option more."""

    def __init__(self, root, *, side: int = 8, **kwargs) -> None:
        super().__init__(root, reader=Squares, reader_options={"side": side}, **kwargs)


def test_a_data_module_by_its_class_path_takes_the_others_place(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "test_data_split", sys.modules[__name__])
    options = ["--data", "test_data_split.TwoSquares", "--data.root", str(tmp_path), "--data.side", "12"]
    with pytest.raises(SystemExit) as ended:
        main(["fit", "-c", "tiny", *options, "--data.batch_size", "2", "--print_config"])
    data = yaml.safe_load(capsys.readouterr().out)["data"]
    assert ended.value.code == 0 and data["class_path"] == "test_data_split.TwoSquares"
    assert {"side": 12, "batch_size": 2, "root": str(tmp_path), "cache_in_memory": True}.items() <= data[
        "init_args"
    ].items()
    with pytest.raises(SystemExit):
        main(["fit", "-c", "tiny", "--data", "find.data.sample.Sample", "--data.root", str(tmp_path)])
    assert "find.data.sample.Sample" in capsys.readouterr().err
