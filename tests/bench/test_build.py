"""Entity files made from captions, templates and features: only what is certain is linked, and readers accept it."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from find.annotation import references
from find.annotation.build import ImageFacts, build
from find.annotation.instances import write_panoptic
from find.annotation.lexicon import Lexicon, read_synonyms, singular
from find.annotation.linking import link
from find.annotation.references import SegmentFeatures, nearest
from find.data.check import check_folder
from find.data.class_sentences import describe
from find.data.coco import CocoFolder
from find.data.plurals import plural
from find.data.sample import Category, Segment
from find.errors import FindError
from find.evaluation.mask_ap import encode
from find.foundations import load_vision

NAMES = {"person": 1, "dog": 1, "hot dog": 1, "bus": 1, "dining table": 1, "table-merged": 0, "sky-other-merged": 0}
CATEGORIES = tuple(Category(10 + k, name, bool(thing), (0, 0, 0), k) for k, (name, thing) in enumerate(NAMES.items()))
LEXICON = Lexicon.of(CATEGORIES)


def segments(*names: str, crowd: str | None = None) -> list[Segment]:
    ids = {category.words: category.id for category in CATEGORIES}
    ids |= {category.name: category.id for category in CATEGORIES}
    return [
        Segment(number, ids[name], 100 * number, (10 * number, 5, 8, 8), name == crowd)
        for number, name in enumerate(names, start=1)
    ]


def linked(text: str, *names: str, crowd: str | None = None) -> tuple[list[tuple[str, tuple[int, ...]]], Counter]:
    counts: Counter = Counter()
    phrases = link(text, segments(*names, crowd=crowd), CATEGORIES, LEXICON, counts)
    for phrase in phrases:
        assert text[phrase.start : phrase.end] == phrase.text
    return [(phrase.text, phrase.segment_ids) for phrase in phrases], counts


@pytest.mark.parametrize(
    ("text", "there", "expected"),
    [
        ("A small brown dog sits under the sky.", ("dog", "sky"), [("A small brown dog", (1,)), ("the sky", (2,))]),
        ("Two dogs and a bus", ("dog", "bus", "dog"), [("Two dogs", (1, 3)), ("a bus", (2,))]),
        (
            "people waiting for red buses",
            ("person", "bus", "person", "bus"),
            [("people", (1, 3)), ("red buses", (2, 4))],
        ),
        ("A man riding brown dogs", ("person", "dog", "dog"), [("A man", (1,)), ("brown dogs", (2, 3))]),
        ("She eats a hot dog", ("dog",), []),
        ("a young woman holding her dog", ("person", "dog"), [("a young woman", (1,)), ("her dog", (2,))]),
        ("a puppy by the table", ("dog", "dining table"), [("a puppy", (1,)), ("the table", (2,))]),
        ("", ("dog",), []),
    ],
)
def test_nouns_are_linked_with_their_phrases(text: str, there: tuple[str, ...], expected: list):
    assert linked(text, *there)[0] == expected


@pytest.mark.parametrize(
    ("text", "there", "reason"),
    [
        ("a dog", ("dog", "dog"), "one of several"),
        ("two dogs", ("dog",), "plural for one"),
        ("three dogs", ("dog", "dog"), "another number"),
        ("a dog", ("bus",), "class not in the image"),
        ("a dog house", ("dog",), "before another noun"),
        ("a man and a woman", ("person",), "named twice"),
        ("the table", ("dining table", "table-merged"), "may mean two classes"),
    ],
)
def test_what_may_mean_something_else_is_left_out_and_counted(text: str, there: tuple[str, ...], reason: str):
    found, counts = linked(text, *there)
    assert found == []
    assert set(counts) == {reason}


def test_a_class_with_a_crowd_is_not_linked():
    found, counts = linked("dogs", "dog", "dog", crowd="dog")
    assert found == [] and counts == {"a crowd of the class": 1}


def test_singulars_and_plurals_belong_together():
    for one in (
        "dog",
        "bus",
        "person",
        "box",
        "puppy",
        "knife",
        "sheep",
        "wine glass",
        "bench",
        "toy",
        "skis",
        "couch",
    ):
        assert singular(plural(one).split()[-1])[0] == one.split()[-1]
    assert [singular(word) for word in ("grass", "bus", "tennis")] == [(w, False) for w in ("grass", "bus", "tennis")]


def test_synonyms_of_ones_own_are_read_and_checked(tmp_path: Path):
    path = tmp_path / "synonyms.json"
    path.write_text('{"dog": ["hound"]}')
    assert ("hound",) in Lexicon.of(CATEGORIES, read_synonyms(path)).nouns
    with pytest.raises(FindError, match="no such class"):
        Lexicon.of(CATEGORIES, {"unicorn": ["horn"]})
    path.write_text("[1]")
    with pytest.raises(FindError, match="lists of words"):
        read_synonyms(path)


def test_a_template_tells_what_is_there_and_where():
    text, phrases = describe(segments("dog", "bus", "bus", "sky"), CATEGORIES, (50, 100))
    assert text == "Two buses near a dog with the sky."
    assert [(phrase.text, phrase.segment_ids) for phrase in phrases] == [
        ("Two buses", (2, 3)),
        ("a dog", (1,)),
        ("the sky", (4,)),
    ]
    assert describe(segments("dog", "bus"), CATEGORIES, (50, 100))[0] == "A bus right of a dog."
    assert describe(segments("dog", crowd="dog"), CATEGORIES, (50, 100)) is None


def test_references_are_the_nearest_of_the_class_in_another_image():
    vectors = np.array([[1, 0], [0.9, 0.1], [0, 1], [1, 0.01], [1, 0]], np.float32)
    features = SegmentFeatures(vectors, np.array([0, 0, 1, 2, 3]), np.arange(5) + 100, np.array([1, 1, 1, 1, 2]))
    image_ids = [7, 8, 9, 10]
    found = nearest(features, image_ids)
    assert (found[7, 100].image_id, found[7, 100].segment_id) == (9, 103)  # not 101, of the same image
    assert (10, 104) not in found  # alone in its class
    assert (found[8, 102].image_id, found[8, 102].segment_id) == (7, 101)
    apart = nearest(features, image_ids, skip=1)
    assert found[8, 102] != apart.get((8, 102)) and (8, 102) not in apart


@pytest.fixture(scope="module")
def bare(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The world without sentences."""
    root = tmp_path_factory.mktemp("bare") / "data"
    (root / "annotations").mkdir(parents=True)
    for name in ("val2017", "panoptic_val2017"):
        (root / name).symlink_to(world / name)
    for name in ("panoptic", "captions", "instances"):
        file = f"{name}_val2017.json"
        (root / "annotations" / file).write_text((world / "annotations" / file).read_text())
    return root


def test_what_is_built_passes_the_check_and_is_the_same_again(bare: Path, tmp_path: Path):
    encoder = load_vision("tiny")
    first, again = (build(bare, out=tmp_path / name, encoder=encoder, progress=False) for name in ("a", "b"))
    assert first.path.read_bytes() == again.path.read_bytes()
    assert first.phrases > 8 and first.references > 0
    report = check_folder(tmp_path / "a", "val2017")
    assert not [issue for issue in report.issues if issue.file == first.path.name]
    folder = CocoFolder(tmp_path / "a", "val2017")
    assert len(folder.sentences) == first.sentences
    for sentence in folder.sentences:
        for phrase in sentence.phrases:
            assert phrase.reference is None or phrase.reference.image_id != sentence.image_id


def test_without_captions_every_image_gets_a_sentence_by_a_template(bare: Path, tmp_path: Path):
    built = build(bare, out=tmp_path / "out", captions=lambda facts: [], progress=False)
    assert built.counts["sentence by a template"] == built.sentences == built.images == 8
    assert built.references == 0


def test_a_writer_of_captions_sees_the_segments_and_is_linked_like_others(bare: Path, tmp_path: Path):
    def write(facts: ImageFacts) -> list[str]:
        assert facts.file.exists()
        counts = Counter(segment.category_id for segment in facts.segments)
        single = [facts.class_names[id] for id, count in counts.items() if count == 1]
        return [f"There is the {single[0]}."]

    built = build(bare, out=tmp_path / "out", captions=write, progress=False)
    assert built.sentences == built.phrases == 8
    assert "sentence by a template" not in built.counts


def test_instances_alone_become_panoptic_maps(tmp_path: Path):
    root = tmp_path / "data"
    (root / "annotations").mkdir(parents=True)
    (root / "val2017").mkdir()
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(root / "val2017" / "a.png")
    masks = np.zeros((3, 20, 30), bool)
    masks[0, 2:18, 2:28], masks[1, 5:9, 5:9], masks[2, 5:9, 5:9] = True, True, True
    annotations = [
        {"id": 5 + k, "image_id": 1, "category_id": 3, "iscrowd": int(k == 0), "segmentation": encode(mask),
         "area": int(mask.sum()), "bbox": [0, 0, 1, 1]}
        for k, mask in enumerate(masks)
    ]  # fmt: skip
    image = {"id": 1, "file_name": "a.png", "height": 20, "width": 30}
    content = {"images": [image], "annotations": annotations, "categories": [{"id": 3, "name": "car"}]}
    (root / "annotations" / "instances_val2017.json").write_text(json.dumps(content))
    assert write_panoptic(root, "val2017", root, [].append) == {"images": 1, "segments": 2, "hidden": 1}
    folder = CocoFolder(root, "val2017")
    segment_map = folder.segment_map(1)
    assert [(s.area, s.is_crowd, s.bbox) for s in folder.segments(1)] == [
        (16 * 26 - 16, True, (2, 2, 26, 16)),
        (16, False, (5, 5, 4, 4)),
    ]
    assert np.array_equal(segment_map > 0, masks.any(axis=0))
    assert build(root, progress=False).sentences == 0  # a crowd of the only class: nothing is certain


def test_two_images_are_not_painted_into_one_file(tmp_path: Path):
    (tmp_path / "annotations").mkdir()
    images = [{"id": k, "file_name": name, "height": 2, "width": 2} for k, name in enumerate(("a.png", "a.jpg"))]
    content = {"images": images, "annotations": [], "categories": [{"id": 3, "name": "car"}]}
    (tmp_path / "annotations" / "instances_val2017.json").write_text(json.dumps(content))
    with pytest.raises(FindError, match=r"share the panoptic map a\.png"):
        write_panoptic(tmp_path, "val2017", tmp_path, [].append)


def test_references_do_not_depend_on_how_many_are_compared_at_a_time(monkeypatch: pytest.MonkeyPatch):
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(30, 6)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    features = SegmentFeatures(vectors, np.arange(30) // 3, np.arange(30), np.arange(30) % 2)
    whole = nearest(features, range(100, 110), skip=1)
    assert len(whole) == 30
    monkeypatch.setattr(references, "AT_ONCE", 4)
    assert nearest(features, range(100, 110), skip=1) == whole


def test_an_existing_file_is_never_overwritten(bare: Path, tmp_path: Path):
    build(bare, out=tmp_path / "out", progress=False)
    with pytest.raises(FindError, match="the file exists already"):
        build(tmp_path / "out", progress=False)
    with pytest.raises(FindError, match="not an empty folder"):
        build(bare, out=tmp_path / "out", progress=False)
