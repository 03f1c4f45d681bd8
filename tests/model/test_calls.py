"""Claims about calls as people write them: one image and one prompt give one answer, the same as lists give."""

import json
import pydoc
import re

import numpy as np
import pytest
from PIL import Image
from small_run import CONFIG

from find.data.sample import plain_name
from find.errors import CheckpointError, InputError
from find.model.class_sets import CLASS_SETS, ClassSet, classes_for
from find.model.model import FIND
from find.query.query import Phrase, Query, Region

HEIGHT, WIDTH = 40, 56
TEXT = "{a dog} on {grass}"


@pytest.fixture(scope="module")
def model() -> FIND:
    return FIND.build(CONFIG)


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def _same(one, other):
    assert type(one) is type(other)
    if isinstance(one, list):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            _same(a, b)
    else:
        assert np.array_equal(one.mask, other.mask) and one.score == pytest.approx(other.score, abs=1e-5)


def test_one_query_about_one_image_is_one_answer(model, image, tmp_path):
    Image.fromarray(image).save(tmp_path / "photo.png")
    listed = model.segment([image], [Query.parse(TEXT)])[0]
    for one in (image, Image.fromarray(image), tmp_path / "photo.png", str(tmp_path / "photo.png")):
        _same(model.segment(one, TEXT), listed)
    _same(model.segment(image, Phrase("a dog")), model.segment([image], ["{a dog}"])[0])


def test_lists_give_lists(model, image):
    other = image[::-1].copy()
    pairs = model.segment([image, other], [TEXT, "{a cat}"])
    _same(model.segment([image, other], TEXT), [model.segment(image, TEXT), model.segment(other, TEXT)])
    _same(model.segment(image, [TEXT, "{a cat}"]), [model.segment(image, TEXT), model.segment(image, "{a cat}")])
    _same(pairs, [model.segment(image, TEXT), model.segment(other, "{a cat}")])
    _same(model.segment(model.encode_images(image), TEXT), [model.segment(image, TEXT)])


def test_texts_of_one_image(model, image):
    texts = ["a dog", "grass"]
    found = model.ground(image, texts)
    _same(found, model.ground([image], [texts])[0])
    _same(model.ground(image, "a dog"), model.ground([image], [["a dog"]])[0][0])
    _same(model.ground([image, image], "a dog"), [model.ground(image, "a dog")] * 2)
    assert [mask.entity for mask in found] == [Phrase(text) for text in texts]


def test_vectors_of_one_and_of_several(model, image):
    assert np.allclose(model.embed_texts("a dog"), model.embed_texts(["a dog"])[0])
    assert np.allclose(model.embed_images(image).objects, model.embed_images([image]).objects)
    assert np.allclose(model.embed_queries(TEXT).entities, model.embed_queries([Query.parse(TEXT)]).entities)
    assert len(model.encode_images(image)) == 1


def test_maps_and_instances_of_one_image(model, image):
    names = ["dog", "grass"]
    (listed,) = model.panoptic([image], names, [True, False])
    one = model.panoptic(image, names)
    assert np.array_equal(one.segment_map, listed.segment_map) and one.segments == listed.segments
    assert [segment.name for segment in one.segments] == [names[segment.label] for segment in one.segments]
    assert np.array_equal(model.semantic(image, names), model.semantic([image], names)[0])
    assert len(model.panoptic([image, image])) == 2


def _strokes(image):
    """Each form of a stroke and the bitmap that it means."""
    box, points = np.zeros((HEIGHT, WIDTH), bool), np.zeros((HEIGHT, WIDTH), bool)
    box[5:20, 10:30] = True
    points[11:14, 12] = points[12, 11:14] = points[19:22, 30] = points[20, 29:32] = True
    return {
        "box": ((10, 5, 30, 20), box),
        "box as array": (np.array([10, 5, 30, 20]), box),
        "points": ([(12, 12), (30, 20)], points),
        "points as array": (np.array([(12, 12), (30, 20)]), points),
        "bitmap": (box, box),
        "bitmap of numbers": (box.astype(np.uint8), box),
        "region": (Region(image, box=(10, 5, 30, 20)), box),
    }


@pytest.mark.parametrize("form", _strokes(np.zeros((HEIGHT, WIDTH, 3), np.uint8)))
def test_strokes_of_every_form_are_the_bitmaps_that_they_mean(model, image, form):
    stroke, bitmap = _strokes(image)[form]
    listed = model.interact([image], [bitmap[None]])
    _same(model.interact([image], [[stroke]]), listed)
    _same(model.interact(image, [stroke]), listed[0])
    _same(model.interact(model.encode_images(image), [[stroke]]), listed)


def test_a_point_is_one_stroke_and_points_in_a_list_are_several(model, image):
    bitmap = Region(image, points=(12, 12)).bitmap()
    _same(model.interact(image, (12, 12)), model.interact([image], [bitmap[None]])[0][0])
    assert len(model.interact(image, [(12, 12), (30, 20)])) == 2
    _same(model.interact([image], [bitmap]), model.interact([image], [bitmap[None]]))
    region = Region(image, scribble=[(3, 3), (20, 30)])
    assert model.interact(image, region).entity is region


def test_negative_points_are_what_negative_bitmaps_are(model, image):
    positive, negative = (Region(image, points=point).bitmap()[None] for point in ((12, 12), (40, 30)))
    listed = model.interact([image], [positive], [negative])
    _same(model.interact(image, (12, 12), (40, 30)), listed[0][0])
    _same(model.interact(image, (12, 12), [(40, 30)]), listed[0][0])
    _same(model.interact([image], [[(12, 12)]], [[(40, 30)]]), listed)
    _same(model.interact(image, [(12, 12)], [None]), model.interact(image, [(12, 12)]))


@pytest.mark.parametrize(
    ("strokes", "reported"),
    [
        ([[(56, 3)]], "stroke 0 of image 0: the point 56,3 lies outside the image, which is 56 wide and 40 high"),
        ([[np.ones((WIDTH, HEIGHT), bool)]], "stroke 0 of image 0 is 40x56 pixels, its image 56x40"),
        ([np.ones((2, WIDTH, HEIGHT), bool)], "stroke 0 of image 0 is 40x56 pixels, its image 56x40"),
        ([np.zeros((HEIGHT, WIDTH), bool)], "stroke 0 of image 0 is empty"),
        ([[(1, 2, 3)]], r"stroke 0 of image 0 is \(1, 2, 3\); give a point \(x, y\), a box"),
        ([[None, "x"]], "stroke 1 of image 0 is 'x'; give a point"),
        ([[(1, 2)], [(1, 2)]], "got 1 image but 2 lists of strokes"),
        (7, "strokes of several images are a list with the strokes of each, not 7"),
        (["dog"], r"strokes of image 0 are a point \(x, y\).*not 'dog'"),
        ([[(9, 9, 9, 20)]], "stroke 0 of image 0: the box 9,9,9,20 has no area"),
    ],
)
def test_what_is_no_stroke_is_told_in_one_sentence(model, image, strokes, reported):
    with pytest.raises(InputError, match=reported) as error:
        model.interact([image], strokes)
    assert "\n" not in str(error.value)


def test_an_answer_knows_its_entity_and_its_box(model, image):
    query = Query.parse(TEXT)
    found = model.segment(image, query)
    assert tuple(mask.entity for mask in found) == query.entities
    for mask in found:
        rows, columns = np.nonzero(mask.mask)
        expected = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) if len(rows) else None
        assert mask.box == expected


def test_instances_above_a_score_and_at_most_so_many(model, image):
    every = model.instances(image, ["dog", "cat"])
    middle = float(np.median(every.scores))
    some = model.instances(image, ["dog", "cat"], min_score=middle)
    assert 0 < len(some) < len(every) and (some.scores >= middle).all()
    assert np.array_equal(model.instances(image, ["dog", "cat"], limit=2).masks, every.masks[:2])
    assert some.names == tuple(["dog", "cat"][label] for label in some.labels)
    for options in ({"min_score": 1.5}, {"limit": 0}):
        with pytest.raises(InputError):
            model.instances(image, ["dog"], **options)


def test_cocos_classes_by_name():
    coco = CLASS_SETS["coco-panoptic"]
    assert len(coco.names) == len(set(coco.names)) == 133 and sum(coco.is_thing) == 80
    assert ClassSet.of("coco-instance").names == coco.names[:80]
    assert ClassSet.of(["sky", "spotted cow", "grass-merged"]).is_thing == (False, True, False)
    assert ClassSet.of(["sky", "cow"], [True, False]).is_thing == (True, False)
    with pytest.raises(InputError, match="2 class names but 1 is_thing"):
        ClassSet.of(["sky", "cow"], [True])


def test_without_classes_those_of_coco_are_meant_whose_words_are_known(image, recwarn):
    from find.world.records import categories

    tiny = FIND.from_pretrained("find-tiny")
    tiny.trained_classes = None
    known = classes_for(tiny, None, None, "coco-panoptic")
    assert len(known.names) == 41 and {plain_name(one["name"]) for one in categories()} <= set(known.names)
    assert not any(tiny.language.tokenize(list(known.names)).unknown)
    recwarn.clear()
    found, explicit = tiny.panoptic(image), tiny.panoptic(image, known)
    assert not recwarn.list  # of unknown words
    assert np.array_equal(found.segment_map, explicit.segment_map) and found.segments == explicit.segments
    things = [name for name, is_thing in zip(known.names, known.is_thing, strict=True) if is_thing]
    assert tiny.instances(image).names == tiny.instances(image, things).names


def test_without_classes_those_of_the_training_data_are_meant(image, tmp_path, recwarn):
    from find.world.records import categories

    tiny = FIND.from_pretrained("find-tiny")
    trained = tiny.trained_classes
    assert set(trained.names) == {plain_name(one["name"]) for one in categories()}
    assert tiny.panoptic(image).segments == tiny.panoptic(image, trained).segments
    assert np.array_equal(tiny.semantic(image), tiny.semantic(image, trained.names))
    assert not recwarn.list  # of unknown words
    tiny.trained_classes = ClassSet(("dog", "sky"), (True, False))
    tiny.save_pretrained(tmp_path / "model")
    again = FIND.from_pretrained(tmp_path / "model")
    assert again.trained_classes == tiny.trained_classes
    assert {segment.name for segment in again.panoptic(image).segments} <= {"dog", "sky"}


@pytest.mark.parametrize("classes", [[], "coco", [{"name": "dog"}], [{"name": 3, "is_thing": True}], [None]])
def test_classes_in_a_models_config_are_checked(tmp_path, classes):
    FIND.from_pretrained("find-tiny").save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"classes": classes}))
    with pytest.raises(CheckpointError, match=r"config\.json: classes"):
        FIND.from_pretrained(tmp_path)


def test_unknown_arguments_are_refused(model, image, tmp_path):
    with pytest.raises(TypeError, match="batchsize"):
        model.segment(image, TEXT, batchsize=3)
    with pytest.raises(InputError, match="no argument 'privat'"):
        model.save_pretrained(tmp_path / "model", privat=True)


def test_an_address_is_no_file_and_keeps_its_slashes(model):
    with pytest.raises(InputError, match=r"https://example\.org/a\.jpg: this is an address"):
        model.segment("https://example.org/a.jpg", TEXT)


def test_help_shows_our_methods_first_each_on_a_line():
    text = pydoc.render_doc(FIND, renderer=pydoc.plaintext)
    own, _, _ = text.partition("Methods defined here:")[2].partition("Methods inherited")
    lines = re.findall(r"^ \|  (\w+)\((.*)$", own, flags=re.MULTILINE)
    public = {"segment", "ground", "interact", "panoptic", "instances", "semantic", "encode_images"}
    public |= {"embed_images", "embed_texts", "embed_queries", "embed_classes", "entity_spans", "find_all", "run"}
    assert {name for name, _ in lines} == public
    assert max(len(name) + len(rest) + 6 for name, rest in lines) <= 150


def test_help_names_the_methods_at_once_and_signatures_fit_a_line():
    text = pydoc.render_doc(FIND, renderer=pydoc.plaintext)
    head, _, rest = text.partition("Methods defined here:")
    named = set(re.findall(r"`(\w+)`", head.partition("Load and save:")[2].partition("all else is torch's")[0]))
    assert {"from_pretrained", "build", "save_pretrained", "segment", "interact", "embed_images"} <= named
    assert all(callable(getattr(FIND, name)) for name in named)
    assert "FIND(*, config, vision, language, interface, tasks=())" in head
    own = rest.partition("Methods inherited")[0]
    assert max(map(len, re.findall(r"^ \|  \w+\(.*$", own, flags=re.MULTILINE))) <= 120
    assert rest.index("segment(") < rest.index("torch.nn.modules.module.Module") < rest.index("add_module(")
