"""Published files of captions: read in their published form, what is wrong is named, and what is there is told."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from find.cli.bench_captions import NAMES
from find.data.caption_records import (
    find_picture,
    read_sugarcrepe,
    read_sugarcrepe_pp,
    read_vsr,
    read_whatsup,
)
from find.data.caption_sets import CAPTION_SETS, prepare_captions
from find.data.prepare_release import Download
from find.errors import DataError, InputError


def write(path: Path, data: object) -> Path:
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return path


def vsr_line(image: str, caption: str, label: int, relation: str) -> str:
    """With all fields that the published lines of the random split have."""
    return json.dumps({
        "image": image, "image_link": f"http://images.cocodataset.org/train2017/{image}", "caption": caption,
        "label": label, "relation": relation, "annotator_id": 4,
        "vote_true_validator_id": "[19, 2, 51]", "vote_false_validator_id": "[]",
    })  # fmt: skip


def test_sugarcrepe(tmp_path):
    file = write(tmp_path / "swap_obj.json", {
        "0": {"filename": "000000000001.jpg", "caption": "A cat on a dog.", "negative_caption": "A dog on a cat."},
        "7": {"filename": "000000000002.jpg", "caption": "Men wave.\n", "negative_caption": "Men sleep."},
    })  # fmt: skip
    first, second = read_sugarcrepe(file, "swap_obj")
    assert (first.image, first.true, first.false) == ("000000000001.jpg", ("A cat on a dog.",), ("A dog on a cat.",))
    assert (second.item, second.kind, second.true) == ("7", "swap_obj", ("Men wave.",))


def test_sugarcrepe_plus_plus_has_two_true_captions(tmp_path):
    file = write(tmp_path / "replace_rel.json", [{
        "id": 0, "filename": "000000000003.jpg", "caption": "A bus drives.", "caption2": "There drives a bus.",
        "negative_caption": "A bus is stuck.",
    }])  # fmt: skip
    [choice] = read_sugarcrepe_pp(file, "replace_rel")
    assert choice.true == ("A bus drives.", "There drives a bus.") and choice.false == ("A bus is stuck.",)


def test_vsr_pairs_true_and_false_captions_of_the_same_two_things(tmp_path):
    lines = [
        vsr_line("1.jpg", "The zebra is behind the horse.", 1, "behind"),
        vsr_line("2.jpg", "The dog is on the bench.", 1, "on"),
        vsr_line("1.jpg", "The zebra is left of the horse.", 0, "left of"),
        vsr_line("1.jpg", "The horse is behind the zebra.", 0, "behind"),
        vsr_line("1.jpg", "The zebra is on the bench.", 0, "on"),
        "",
    ]
    [choice] = read_vsr(write(tmp_path / "test.jsonl", "\n".join(lines)), "random/test")
    assert choice.image == "1.jpg" and choice.item == "lines 1 and 3"
    assert (choice.true, choice.false) == (("The zebra is behind the horse.",), ("The zebra is left of the horse.",))


def test_whatsup_in_its_three_forms(tmp_path):
    options = ["A mug under a table", "A mug on a table", "A mug to the left of a table", "A mug right of a table"]
    image = "data/controlled_images/mug_under_table.jpeg"
    [choice] = read_whatsup(write(tmp_path / "a.json", [{"image_path": image, "caption_options": options}]), "A")
    assert choice.image == image and choice.true == (options[0],) and choice.false == tuple(options[1:])
    pair = write(tmp_path / "b.json", [[139, "A dog on the left", "A dog on the right"]])
    assert read_whatsup(pair, "COCO, one object")[0].image == "000000000139.jpg"
    assert read_whatsup(pair, "GQA, one object")[0].image == "139.jpg"


@pytest.mark.parametrize(
    ("read", "data", "reported"),
    [
        (read_sugarcrepe, [], "the file: expected an object"),
        (read_sugarcrepe, {"3": {"filename": "x.jpg", "caption": "a"}}, "3: expected a text 'negative_caption'"),
        (read_sugarcrepe, {"3": 5}, "3: expected a text 'filename'"),
        (read_sugarcrepe_pp, {"0": {}}, "the file: expected a list"),
        (read_sugarcrepe_pp, [{"filename": "x.jpg", "caption": "a", "negative_caption": "b"}], "record 0.*'caption2'"),
        (read_vsr, "{", "line 1: no JSON"),
        (read_vsr, vsr_line("1.jpg", "a", 2, "b"), "line 1: label is 2"),
        (read_whatsup, [{"image_path": "x.jpg", "caption_options": ["one"]}], "record 0: expected two captions"),
        (read_whatsup, [[True, "a", "b"]], "record 0: expected an image id"),
        (read_whatsup, "no JSON at all", "bad"),
    ],
)
def test_what_is_not_as_published_is_named(tmp_path, read, data, reported):
    with pytest.raises(DataError, match=reported):
        read(write(tmp_path / "bad.json", data), "kind")


def test_pictures_are_found_where_sets_and_people_put_them(tmp_path):
    for place in ("val2017/1.jpg", "2.jpg", "controlled_images/mug.jpeg"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).touch()
    assert find_picture(tmp_path, "1.jpg") == tmp_path / "val2017/1.jpg"
    assert find_picture(tmp_path, "2.jpg") == tmp_path / "2.jpg"
    found = find_picture(tmp_path, "data/controlled_images/mug.jpeg")
    assert found == tmp_path / "controlled_images/mug.jpeg"
    with pytest.raises(DataError, match=r"no picture 3\.jpg below"):
        find_picture(tmp_path, "3.jpg")
    with pytest.raises(DataError, match="no picture"):
        find_picture(tmp_path / "val2017", "../2.jpg")


def test_sets_say_where_they_are_from_and_under_which_terms():
    assert tuple(CAPTION_SETS) == NAMES
    for one in CAPTION_SETS.values():
        assert one.terms and one.pictures
        assert len({file.download.name for file in one.files}) == len(one.files)
        for file in one.files:
            assert file.download.url.startswith("https://") and "{}" not in file.download.url
            assert (file.download.sha256 is None) == (file.download.size is None)


def test_what_is_there_is_told_and_checked(tmp_path):
    asked = CAPTION_SETS["sugarcrepe"]
    found = prepare_captions(tmp_path, asked)
    assert not found.is_complete and len(found.fetch) == len(asked.files) == 7
    assert "curl -L --fail" in found.to_text() and "0047054b" in found.to_text()
    data = {"0": {"filename": "1.jpg", "caption": "a", "negative_caption": "b"}}
    file = write(tmp_path / "swap_obj.json", data)
    states = {part.name: (part.state.value, part.found) for part in prepare_captions(tmp_path, asked).parts}
    assert states["swap_obj.json"][0] == "broken" and "another file than the published" in states["swap_obj.json"][1]
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    own = replace(asked.files[3], download=Download("swap_obj.json", "https://x", 1, digest))
    [part] = prepare_captions(tmp_path, replace(asked, files=(own,))).parts
    assert part.is_usable and "1 choices" in part.found and "as published" in part.found
    by_hand = prepare_captions(tmp_path, CAPTION_SETS["whatsup"])
    assert by_hand.fetch == () and "by hand" in by_hand.parts[0].found


def test_missing_files_and_kinds_are_told(tmp_path):
    with pytest.raises(DataError, match=r"replace_obj\.json is missing; `findvl data prepare sugarcrepe"):
        CAPTION_SETS["sugarcrepe"].choices(tmp_path)
    with pytest.raises(InputError, match="no kind 'swap'; it has replace_obj"):
        CAPTION_SETS["sugarcrepe"].choices(tmp_path, ["swap"])
