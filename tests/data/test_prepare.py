"""Claims about `findvl data prepare`: what is there is told exactly, and zips read like the unpacked folder."""

import json
import multiprocessing
import shutil
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, is_dataclass, replace

import numpy as np
import pytest
import torch
from zipped_coco import sample_release, zip_sample

from find.cli.main import main
from find.data.check import check_folder
from find.data.coco import CocoFolder
from find.data.prepare import prepare
from find.data.prepare_coco import COCO_2017
from find.data.prepare_references import add_references
from find.data.prepare_release import State
from find.errors import FindError
from find.images.canvas import Resizing
from find.training.datamodule import FindDataModule

SPLITS = ("train2017", "val2017")


@pytest.fixture(scope="module")
def sample(shared):
    return shared / "coco-sample" / "coco"


@pytest.fixture(scope="module")
def prepared(sample, tmp_path_factory):
    """A zipped sample, its release, and what preparing it said."""
    root = zip_sample(sample, tmp_path_factory.mktemp("zipped") / "coco")
    release = sample_release(root)
    return root, release, prepare(root, release)


@pytest.fixture
def zipped(sample, tmp_path):
    """A zipped sample of one's own, to be spoiled, and its release."""
    root = zip_sample(sample, tmp_path / "coco")
    return root, sample_release(root)


def found(preparation) -> dict[str, tuple[State, str]]:
    return {part.name: (part.state, part.found) for part in preparation.parts}


class TestWholeSample:
    def test_everything_is_found_and_what_is_missing_is_made(self, prepared):
        root, release, first = prepared
        assert first.is_complete and not first.fetch
        parts = found(first)
        assert parts["images of val2017"][1].startswith("val2017.zip: 136 files")
        assert "read in place" in parts["images of val2017"][1]
        where = "panoptic_annotations_trainval2017.zip/annotations/panoptic_train2017.zip: 114 files"
        assert parts["panoptic PNGs of train2017"][1].startswith(where)
        assert parts["annotations/captions_train2017.json"] == (
            State.MADE, "518 captions, unpacked from annotations_trainval2017.zip"
        )  # fmt: skip
        assert parts["annotations/entity_val2017.json"] == (State.READY, "136 sentences, 326 phrases")
        assert not list(root.rglob("*.part"))
        again = prepare(root, release)
        assert again.is_complete and {part.state for part in again.parts} == {State.READY}

    @pytest.mark.parametrize("split", SPLITS)
    def test_every_sample_equals_that_of_the_folder(self, prepared, sample, split):
        folder, zipped = CocoFolder(sample, split), CocoFolder(prepared[0], split)
        assert zipped.image_ids == folder.image_ids and zipped.categories == folder.categories
        for name, other in zip(folder.table.file_names, folder.table.map_names, strict=True):
            assert zipped.images.read(name) == folder.images.read(name), name
            assert zipped.maps.read(other) == folder.maps.read(other), other
        for position in range(0, len(folder), 4):
            one, two = folder[position], zipped[position]
            assert np.array_equal(one.image, two.image) and np.array_equal(one.segment_map, two.segment_map)
            assert replace(one, image=0, segment_map=0) == replace(two, image=0, segment_map=0)

    def test_the_check_finds_the_same_in_zips(self, prepared, sample):
        zipped, folder = check_folder(prepared[0], "val2017"), check_folder(sample, "val2017")
        assert zipped.checked == folder.checked and not zipped.has_errors
        assert sorted(map(str, zipped.issues)) == sorted(map(str, folder.issues))

    def test_a_compressed_zip_inside_a_zip_is_unpacked_once(self, sample, tmp_path):
        root = zip_sample(sample, tmp_path / "coco", inner=zipfile.ZIP_DEFLATED)
        release = sample_release(root)
        state, text = found(prepare(root, release, splits=["val2017"]))["panoptic PNGs of val2017"]
        assert state is State.MADE and text.startswith("annotations/panoptic_val2017.zip: 136 files")
        assert found(prepare(root, release, splits=["val2017"]))["panoptic PNGs of val2017"][0] is State.READY
        assert CocoFolder(root, "val2017").segment_map(139).any()

    def test_unpacked_pictures_are_as_good(self, zipped, sample):
        root, release = zipped
        for archive in ("val2017.zip", "panoptic_annotations_trainval2017.zip"):
            (root / archive).unlink()
        shutil.copytree(sample / "val2017", root / "val2017")
        shutil.copytree(sample / "panoptic_val2017", root / "panoptic_val2017")
        shutil.copy(sample / "annotations" / "panoptic_val2017.json", root / "annotations")
        said = prepare(root, release, splits=["val2017"])
        assert said.is_complete and found(said)["images of val2017"][1] == "val2017/: 136 files"


def are_equal(one: object, other: object) -> bool:
    """Whether two values are the same, with the tensors inside their dataclasses and containers."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if is_dataclass(one):
        return all(are_equal(getattr(one, field.name), getattr(other, field.name)) for field in fields(one))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(are_equal(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(are_equal, one, other))
    return one == other


class TestReadingInPlace:
    """One archive, many readers: none sees bytes of another's place."""

    def test_threads(self, prepared):
        folder = CocoFolder(prepared[0], "val2017")
        expected = [folder.maps.read(name) for name in folder.table.map_names]
        with ThreadPoolExecutor(8) as threads:
            assert list(threads.map(folder.maps.read, folder.table.map_names * 4)) == expected * 4

    def test_forked_processes_share_the_open_file(self, prepared):
        folder = CocoFolder(prepared[0], "val2017")
        expected = [folder.maps.read(name) for name in folder.table.map_names]  # opens the file before the fork
        with multiprocessing.get_context("fork").Pool(4) as processes:
            assert processes.map(folder.maps.read, folder.table.map_names * 4, chunksize=3) == expected * 4

    def test_loader_processes_give_the_batches_of_the_folder(self, prepared, sample):
        def batches(root, workers):
            data = FindDataModule(root, resizing=Resizing(96, 96, divisor=32), batch_size=8, num_workers=workers)
            data.setup()
            data.train_folder.images.read(data.train_folder.table.file_names[0])
            for batch, _ in zip(data.train_dataloader(), range(4), strict=False):
                yield batch

        for one, other in zip(batches(sample, 0), batches(prepared[0], 2), strict=True):
            for field in fields(one):
                assert are_equal(getattr(one, field.name), getattr(other, field.name)), field.name


class TestFaults:
    def test_nothing_there_tells_how_to_get_all(self, tmp_path):
        said = prepare(tmp_path / "none", COCO_2017)
        assert {part.state for part in said.parts} == {State.MISSING} and not (tmp_path / "none").exists()
        text = said.to_text()
        assert "21.3 GB and some of a size that is not published" in text
        assert f"-o {tmp_path / 'none' / 'train2017.zip'} http://images.cocodataset.org/zips/train2017.zip" in text
        assert "xueyanz/FIND-Bench/resolve/main/entity_val2017_long.json" in text
        assert len(said.fetch) == 7

    def test_only_what_a_split_needs(self, tmp_path):
        names = {download.name for download in prepare(tmp_path, COCO_2017, splits=["val2017"]).fetch}
        assert "val2017.zip" in names and "train2017.zip" not in names
        with pytest.raises(FindError, match="no split 'test2017'; it has train2017, val2017"):
            prepare(tmp_path, COCO_2017, splits=["test2017"])

    def test_a_truncated_archive_is_gone_on_with(self, zipped):
        root, release = zipped
        archive = root / "val2017.zip"
        archive.write_bytes(archive.read_bytes()[:100_000])
        said = prepare(root, release)
        state, text = found(said)["images of val2017"]
        assert state is State.BROKEN and text.startswith("val2017.zip is truncated: 100,000 of ")
        assert [download.name for download in said.fetch] == ["val2017.zip"]
        assert f"curl -L --fail -C - --create-dirs -o {archive}" in said.to_text()

    def test_a_file_of_another_size_is_fetched_anew(self, zipped):
        root, release = zipped
        with (root / "train2017.zip").open("ab") as archive:
            archive.write(b"more")
        said = prepare(root, release)
        assert "train2017.zip is another file" in found(said)["images of train2017"][1]
        assert "-C -" not in said.to_text()

    def test_an_archive_of_the_right_size_that_is_none(self, zipped):
        root, release = zipped
        archive = root / "panoptic_annotations_trainval2017.zip"
        archive.write_bytes(bytes(archive.stat().st_size))
        parts = found(prepare(root, release))
        for name in ("annotations/panoptic_val2017.json", "panoptic PNGs of val2017"):
            assert parts[name][0] is State.BROKEN and "not a readable zip file" in parts[name][1]

    def test_a_damaged_archive_is_told_by_its_checksum(self, zipped):
        root, release = zipped
        archive = root / "val2017.zip"
        data = bytearray(archive.read_bytes())
        data[len(data) // 2] ^= 1
        archive.write_bytes(data)
        split = release.splits[1]
        known = replace(release, splits=(replace(split, images=replace(split.images, sha256="0" * 64)),))
        assert found(prepare(root, known))["images of val2017"][0] is State.READY
        assert "SHA-256" in found(prepare(root, known, checksums=True))["images of val2017"][1]

    def test_a_missing_picture_is_named(self, zipped, sample):
        root, release = zipped
        shutil.copytree(sample / "val2017", root / "val2017")
        (root / "val2017" / "000000000139.jpg").unlink()
        said = prepare(root, release)
        state, text = found(said)["images of val2017"]
        assert state is State.BROKEN and "1 of 136 files are not in it, such as 000000000139.jpg" in text
        assert "delete the folder, and val2017.zip is read in place" in text and not said.fetch

    def test_annotations_of_another_release(self, zipped):
        root, release = zipped
        captions = root / "annotations" / "captions_val2017.json"
        captions.write_text(json.dumps({"annotations": [{"image_id": 139, "caption": "A room."}]}))
        captions.with_name("instances_val2017.json").write_text('{"annotations": [')
        captions.with_name("entity_train2017.json").write_text((root / "annotations/entity_val2017.json").read_text())
        said = prepare(root, release)
        parts = found(said)
        assert "1 captions, but the release has 650" in parts["annotations/captions_val2017.json"][1]
        assert "not valid JSON" in parts["annotations/instances_val2017.json"][1]
        assert "their images are not in panoptic_train2017.json" in parts["annotations/entity_train2017.json"][1]
        assert [download.name for download in said.fetch] == ["annotations/entity_train2017.json"]

    def test_the_command_has_a_status_and_json(self, tmp_path, capsys):
        assert main(["data", "prepare", "coco", str(tmp_path / "coco"), "--split", "val2017", "--json"]) == 1
        said = json.loads(capsys.readouterr().out)
        assert not said["complete"] and said["fetch"][0]["size"] == 860_725_834
        assert main(["data", "prepare", "coco", str(tmp_path / "coco")]) == 1
        assert "then: findvl data prepare coco" in capsys.readouterr().out

    def test_a_root_of_zips_only_is_told_what_to_do(self, zipped):
        root, _ = zipped
        shutil.rmtree(root / "annotations")
        with pytest.raises(FindError, match=f"`findvl data prepare coco {root}` makes it"):
            CocoFolder(root, "val2017")


class TestReferences:
    @pytest.fixture(scope="class")
    def folder(self, sample):
        return CocoFolder(sample, "val2017")

    def test_a_reference_is_the_nearest_in_size_of_all_others_of_its_category(self, sample, folder, tmp_path):
        plain = json.loads((sample / "annotations" / "entity_val2017.json").read_text())
        for record in plain["annotations"]:
            for phrase in record["phrase"]:
                phrase.pop("reference", None)
        path, made = tmp_path / "entity_val2017.json", tmp_path / "interleave_val2017.json"
        path.write_text(json.dumps(plain))
        add_references(path, made, folder.table)
        shares = {}
        for image_id in folder.image_ids:
            height, width = folder.image_size(image_id)
            for segment in folder.segments(image_id):
                if not segment.is_crowd:
                    shares[image_id, segment.id] = (segment.category_id, segment.area / height / width)
        count = 0
        for record in json.loads(made.read_text())["annotations"]:
            for phrase in record["phrase"]:
                category, share = shares[record["image_id"], int(phrase["annotation_id"])]
                others = [
                    abs(its - share) for (at, _), (kind, its) in shares.items()
                    if kind == category and at != record["image_id"]
                ]  # fmt: skip
                reference = phrase.get("reference")
                assert (reference is None) == (not others)
                if reference is not None:
                    count += 1
                    kind, its = shares[reference["image_id"], reference["annotation_id"]]
                    assert kind == category and reference["image_id"] != record["image_id"]
                    assert abs(its - share) == pytest.approx(min(others))
        assert count == 312
        before = made.read_bytes()
        add_references(path, made, folder.table)
        assert made.read_bytes() == before

    def test_references_that_are_there_stay(self, sample, folder, tmp_path):
        path = sample / "annotations" / "interleave_val2017.json"
        add_references(path, tmp_path / "made.json", folder.table)
        made, old = (json.loads(file.read_text())["annotations"] for file in (tmp_path / "made.json", path))
        for one, other in zip(made, old, strict=True):
            for phrase, before in zip(one["phrase"], other["phrase"], strict=True):
                assert (
                    phrase["reference"] == before["reference"] if "reference" in before else phrase | before == phrase
                )
