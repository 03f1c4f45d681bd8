"""A folder is read as it is meant, from files or zips, and every fault of it has one clear message."""

import json
import pickle
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_folder import CROWD, SKY, TinyFolder, dog, paint_ids, segment_ids

from find.data import cache
from find.data.cache import CachedFolder
from find.data.coco import CocoFolder
from find.errors import FindError


def read(tiny: TinyFolder, **options) -> CocoFolder:
    return CocoFolder(tiny.write(), "val2017", **options)


def zipped(folder: Path, *, compression: int, inside: str) -> None:
    """Replaces a folder by a zip of the same name, as COCO ships them."""
    with zipfile.ZipFile(folder.with_suffix(".zip"), "w", compression) as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, f"{inside}{file.name}")
    shutil.rmtree(folder)


class TestReading:
    def test_a_sample_holds_all_that_is_known_about_an_image(self, tiny):
        folder = read(tiny)
        sample = folder.sample(1)
        assert folder.image_ids == (1, 2, 3) and len(folder) == 3
        assert np.array_equal(sample.segment_map, segment_ids(1)) and sample.segment_map.dtype == np.int32
        assert [(segment.id, segment.is_crowd) for segment in sample.segments] == [
            (SKY, False), (dog(1), False), (CROWD, True)
        ]  # fmt: skip
        assert sample.captions == ("One dog, one sky.", "A dog.")
        assert sample.sentences[0].phrases[0].segment_ids == (dog(1),)
        assert sample.sentences[0].phrases[0].reference.image_id == 2
        assert sample.expressions[0].text == "the brown dog" and sample.expressions[0].held_out
        assert sample.image.shape == (48, 64, 3) and abs(int(sample.image[30, 12, 0]) - 200) < 12
        assert folder.sample(3).captions == () and folder.sample(3).sentences == ()

    def test_categories_are_numbered_in_the_order_of_the_file_and_named_in_plain_words(self, tiny):
        categories = read(tiny).categories
        assert [(one.id, one.index, one.words) for one in categories] == [
            (1, 0, "person"), (18, 1, "dog"), (187, 2, "sky")
        ]  # fmt: skip
        assert [one.is_thing for one in categories] == [True, True, False]

    def test_captions_sentences_and_expressions_may_be_missing(self, tiny):
        for kind in ("captions", "entity", "referring"):
            (tiny.root / "annotations" / f"{kind}_val2017.json").unlink()
        sample = CocoFolder(tiny.root, "val2017").sample(1)
        assert (sample.captions, sample.sentences, sample.expressions) == ((), (), ())

    @pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
    def test_zips_read_like_folders(self, tiny, compression):
        before = [read(tiny)[position] for position in range(3)]
        zipped(tiny.root / "val2017", compression=compression, inside="val2017/")
        zipped(tiny.root / "panoptic_val2017", compression=compression, inside="")
        (tiny.root / "panoptic_val2017.zip").rename(tiny.root / "annotations" / "panoptic_val2017.zip")
        folder = pickle.loads(pickle.dumps(CocoFolder(tiny.root, "val2017")))  # as a spawned loader process gets it
        for position, sample in enumerate(before):
            assert np.array_equal(folder[position].image, sample.image)
            assert np.array_equal(folder[position].segment_map, sample.segment_map)

    def test_a_cached_sample_equals_the_one_from_disk(self, tiny):
        folder = read(tiny)
        cached = CachedFolder(folder)
        for _ in range(2):
            for position in range(len(folder)):
                one, other = cached[position], folder[position]
                assert np.array_equal(one.image, other.image)
                assert np.array_equal(one.segment_map, other.segment_map) and one.segments == other.segments

    def test_a_cache_larger_than_the_free_memory_is_refused(self, tiny, tmp_path, monkeypatch):
        memory = tmp_path / "meminfo"
        monkeypatch.setattr(cache, "MEMORY", memory)
        CachedFolder(read(tiny))  # not known: not checked
        memory.write_text("MemTotal:  99 kB\nMemFree:  0 kB\nMemAvailable:  36 kB\n")
        CachedFolder(read(tiny))  # three images of 64 x 48 pixels, four bytes each: 36 kB
        memory.write_text("MemTotal:  99 kB\nMemFree:  0 kB\nMemAvailable:  35 kB\n")
        with pytest.raises(FindError, match=r"3 images of val2017 take .* GB are free\. Set cache_in_memory to false"):
            CachedFolder(read(tiny))

    def test_real_coco_photographs(self, shared):
        folder = CocoFolder(shared / "coco-sample" / "coco", "val2017")
        assert (len(folder), len(folder.sentences), len(folder.categories)) == (136, 136, 133)
        assert not folder.skipped
        phrase = folder.sentences_of(139)[0].phrases[0]
        assert (phrase.text, phrase.segment_ids, phrase.reference.image_id) == ("A woman", (5898433,), 463730)
        sample = folder.sample(139)
        areas = {segment.id: segment.area for segment in sample.segments}
        assert areas == {id: int((sample.segment_map == id).sum()) for id in areas}

    @pytest.mark.parametrize(
        ("entities", "phrases", "references"),
        [("entity_val2017_long", 589, 196), ("interleave_val2017", 326, 294), ("interleave_val2017_long", 589, 542)],
    )
    def test_the_published_kinds_of_sentences(self, shared, entities, phrases, references):
        folder = CocoFolder(shared / "coco-sample" / "coco", "val2017", entities=entities)
        found = [phrase for sentence in folder.sentences for phrase in sentence.phrases]
        assert (len(found), sum(phrase.reference is not None for phrase in found)) == (phrases, references)
        for sentence in folder.sentences:
            assert all(sentence.text[phrase.start : phrase.end] == phrase.text for phrase in sentence.phrases)


class TestFaults:
    """Each message names the file, the item and the fix."""

    def fails(self, tiny: TinyFolder, *words: str, **options) -> None:
        with pytest.raises(FindError) as caught:
            folder = read(tiny, **options)
            for position in range(len(folder)):
                folder[position]
        for word in words:
            assert word in str(caught.value)

    def test_missing_root(self, tmp_path):
        with pytest.raises(FindError, match=r"nowhere: there is no such folder\. Give the folder that holds"):
            CocoFolder(tmp_path / "nowhere", "val2017")

    def test_missing_annotation_file_names_what_is_there(self, tiny):
        with pytest.raises(FindError, match=r"panoptic_val2018\.json.*panoptic_val2017\.json"):
            CocoFolder(tiny.root, "val2018")
        self.fails(tiny, "entity_val2017_lon.json", "entity_val2017.json", entities="entity_val2017_lon")

    def test_missing_image_folder(self, tiny):
        shutil.rmtree(tiny.root / "val2017")
        self.fails(tiny, "val2017.zip", "the images of val2017 not found", "Put the folder")

    def test_missing_image(self, tiny):
        (tiny.root / "val2017" / "000000000002.jpg").unlink()
        self.fails(tiny, "val2017/000000000002.jpg", "cannot be read", "Put it back")

    @pytest.mark.parametrize("kept", [0, 400, -20])
    def test_broken_jpeg(self, tiny, kept):
        file = tiny.root / "val2017" / "000000000002.jpg"
        file.write_bytes(file.read_bytes()[:kept])
        self.fails(tiny, "val2017/000000000002.jpg", "Put the original file back")

    def test_broken_png(self, tiny):
        (tiny.root / "panoptic_val2017" / "000000000002.png").write_bytes(b"no picture")
        self.fails(tiny, "panoptic_val2017/000000000002.png", "broken", "Write or download it again")

    def test_png_with_ids_that_segments_info_does_not_list(self, tiny):
        ids = segment_ids(2)
        ids[40:, :5] = 987
        paint_ids(ids).save(tiny.root / "panoptic_val2017" / "000000000002.png")
        self.fails(tiny, "000000000002.png", "segments_info of image 2", "987", "same release")

    def test_image_of_another_size(self, tiny):
        Image.new("RGB", (64, 40)).save(tiny.root / "val2017" / "000000000002.jpg")
        self.fails(tiny, "000000000002.jpg", "64 x 40", "64 x 48", "correct the JSON")

    def test_json_that_is_none(self, tiny):
        (tiny.root / "annotations" / "captions_val2017.json").write_text('{"annotations": [')
        with pytest.raises(FindError, match=r"captions_val2017\.json: this is not valid JSON"):
            CocoFolder(tiny.root, "val2017")

    def test_json_of_another_layout(self, tiny):
        tiny.files["panoptic_val2017.json"] = {"images": []}
        self.fails(tiny, "panoptic_val2017.json", 'no list of objects "annotations"', "COCO's layout")

    def test_segment_of_unknown_category(self, tiny):
        tiny.files["panoptic_val2017.json"]["annotations"][1]["segments_info"][0]["category_id"] = 55
        self.fails(tiny, "panoptic_val2017.json", "image 2, segment 7", "category 55", "Correct segments_info")

    def test_record_without_a_field(self, tiny):
        del tiny.files["panoptic_val2017.json"]["images"][1]["height"]
        self.fails(tiny, "panoptic_val2017.json", "image 2", "'height' is missing")

    def test_unknown_image_asked_for(self, tiny):
        with pytest.raises(FindError, match="no image 99 in val2017"):
            read(tiny).sample(99)

    def test_damaged_zip(self, tiny):
        zipped(tiny.root / "val2017", compression=zipfile.ZIP_STORED, inside="val2017/")
        archive = tiny.root / "val2017.zip"
        data = bytearray(archive.read_bytes())
        data[300] ^= 255
        archive.write_bytes(data)
        self.fails(tiny, "val2017.zip", "000000000001.jpg are damaged", "Download the archive again")
        archive.write_bytes(data[:500])
        self.fails(tiny, "val2017.zip", "not a zip file", "Download it again")

    def test_image_without_annotation_is_left_out_and_told(self, tiny):
        del tiny.files["panoptic_val2017.json"]["annotations"][2]
        with pytest.warns(UserWarning, match="image has no panoptic annotation: 1"):
            folder = read(tiny)
        assert folder.image_ids == (1, 2)

    def test_files_are_read_whatever_the_order_of_their_lists(self, tiny):
        expected = read(tiny).sample(2).segments
        tiny.files["panoptic_val2017.json"]["annotations"].reverse()
        assert read(tiny).sample(2).segments == expected
        assert json.loads((tiny.root / "annotations" / "panoptic_val2017.json").read_text())

    def test_an_image_annotated_or_listed_twice_is_read_once_and_told(self, tiny):
        panoptic = tiny.files["panoptic_val2017.json"]
        panoptic["annotations"].append(dict(panoptic["annotations"][0], segments_info=[]))
        panoptic["images"].append(panoptic["images"][1])
        with pytest.warns(UserWarning, match="image annotated twice: 1, image is listed twice: 1"):
            folder = read(tiny)
        assert len(folder) == 3 and len(folder.segments(1)) == 3
