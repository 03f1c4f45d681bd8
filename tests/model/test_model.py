"""The model promises answers at the pictures' own sizes, each independent of what else is asked in the same call."""

import json
import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from small_run import CONFIG as SMALL

from find.errors import FindError, UnknownWordsWarning
from find.images.canvas import by_canvas
from find.interface import Group
from find.model.model import FIND
from find.model.predictions import EntityMask
from find.query.query import Phrase, Query, Region
from find.tasks import generic, interactive, interleaved
from find.tasks.grounding import Phrases
from find.tasks.text_inputs import Sentences

SIZES = ((60, 90), (90, 60), (64, 64), (30, 100), (90, 60), (200, 150))
"""Heights and widths: landscape, portrait, square, wide, a repeated one, and one that is shrunk."""
CONFIG = replace(SMALL, interface=replace(SMALL.interface, queries=9), shortest_side=64, longest_side=128)


@pytest.fixture(scope="module")
def model() -> FIND:
    torch.manual_seed(0)
    return FIND.build(CONFIG)


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    small = [rng.integers(0, 256, (5, 6, 3), dtype=np.uint8) for _ in SIZES]
    return [
        np.array(Image.fromarray(s).resize((w, h), Image.Resampling.BICUBIC))
        for s, (h, w) in zip(small, SIZES, strict=True)
    ]


def box(image: np.ndarray, top: float, left: float, bottom: float, right: float) -> np.ndarray:
    """A mask of the image's size, corners as shares of it."""
    h, w = image.shape[:2]
    mask = np.zeros((h, w), dtype=bool)
    mask[int(top * h) : int(bottom * h), int(left * w) : int(right * w)] = True
    return mask


@pytest.fixture(scope="module")
def queries(images) -> list[Query]:
    """Words only, a region only, both, three entities, a sentence, and two regions of pictures of other sizes."""
    first = Region(images[0], mask=box(images[0], 0.2, 0.1, 0.7, 0.5))
    wide = Region(images[3], points=(50, 15))
    return [
        Query("the ", Phrase("dog")),
        Query(first),
        Query("a ", first, " next to ", Phrase("a red dog")),
        Query(Phrase("dog"), " and ", Phrase("red dog"), " by ", wide),
        Query("a ", Phrase("red"), " dog"),
        Query(first, " above ", wide),
    ]


def assert_same_masks(found: Sequence[EntityMask], expected: Sequence[EntityMask]) -> None:
    """Equal scores; masks may differ where a logit is zero to rounding."""
    assert len(found) == len(expected)
    for one, two in zip(found, expected, strict=True):
        assert one.score == pytest.approx(two.score, abs=1e-5)
        assert (one.mask != two.mask).mean() < 1e-3


# --- masks --------------------------------------------------------------------------------------------------------


def test_segment_answers_each_entity_at_its_pictures_own_size(model, images, queries):
    answers = model.segment(images, queries)
    assert [len(row) for row in answers] == [len(query.entities) for query in queries]
    for image, row in zip(images, answers, strict=True):
        for answer in row:
            assert answer.mask.shape == image.shape[:2] and answer.mask.dtype == bool
            assert 1 / 8 <= answer.score <= 1  # the best of eight proposals


def test_segment_does_not_depend_on_what_else_is_asked(model, images, queries):
    together = model.segment(images, queries)
    for image, query, row in zip(images, queries, together, strict=True):
        assert_same_masks(model.segment([image], [query])[0], row)
    reverse = model.segment(images[::-1], queries[::-1], batch_size=2)[::-1]
    for one, two in zip(reverse, together, strict=True):
        assert_same_masks(one, two)


def test_ground_does_not_depend_on_the_other_pictures(model, images):
    """What one picture is asked may compete; what others are asked may not."""
    texts = [["dog"], ["red dog", "dog"], [], ["red"], ["dog", "red", "red dog"], ["dog"]]
    together = model.ground(images, texts)
    assert [len(row) for row in together] == [1, 2, 0, 1, 3, 1]
    for image, asked, row in zip(images, texts, together, strict=True):
        assert all(answer.mask.shape == image.shape[:2] for answer in row)
        assert_same_masks(model.ground([image], [asked])[0], row)


def test_interact_does_not_depend_on_the_other_pictures(model, images):
    drawn = ((box(im, 0.1, 0.1, 0.4, 0.4), box(im, 0.5, 0.5, 0.9, 0.8)) for im in images)
    marked = ((box(im, 0.6, 0.6, 0.7, 0.7), box(im, 0, 0, 0, 0)) for im in images)
    strokes, negatives = ([np.stack(pair[: 1 + k % 2]) for k, pair in enumerate(rows)] for rows in (drawn, marked))
    together = model.interact(images, strokes, negatives)
    for image, stroke, negative, row in zip(images, strokes, negatives, together, strict=True):
        assert [answer.mask.shape for answer in row] == [image.shape[:2]] * len(stroke)
        assert_same_masks(model.interact([image], [stroke], [negative])[0], row)


def test_negative_strokes_are_read(model, images):
    stroke = box(images[0], 0.1, 0.1, 0.4, 0.4)[None]
    none, some = np.zeros_like(stroke), box(images[0], 0.5, 0.5, 0.9, 0.9)[None]
    plain, empty, marked = (
        model.interact(images[:1], [stroke], negatives)[0][0].score for negatives in (None, [none], [some])
    )
    assert plain == pytest.approx(empty, abs=1e-6)
    assert plain != pytest.approx(marked, abs=1e-6)


# --- everything ---------------------------------------------------------------------------------------------------


def test_a_picture_in_which_nothing_is_sure_has_an_empty_map(model, images, monkeypatch):
    monkeypatch.setattr(model, "panoptic_settings", generic.PanopticSettings(score=1.0, overlap=0.0))
    found = model.panoptic(images[:1], ["dog", "red"], [True, False])[0]
    assert found.segments == () and found.segment_map.shape == images[0].shape[:2] and not found.segment_map.any()


def test_panoptic_segments_are_those_of_the_map(model, images):
    settings = model.panoptic_settings
    model.panoptic_settings = generic.PanopticSettings(score=0.0, overlap=0.0)
    try:
        found = model.panoptic(images, ["dog", "red"], [True, False])
        alone = model.panoptic(images[3:4], ["dog", "red"], [True, False])[0]
    finally:
        model.panoptic_settings = settings
    for image, answer in zip(images, found, strict=True):
        assert answer.segment_map.shape == image.shape[:2] and answer.segment_map.dtype == np.int32
        assert set(np.unique(answer.segment_map)) - {0} == {segment.id for segment in answer.segments}
        stuff = [segment.label for segment in answer.segments if segment.label == 1]
        assert len(stuff) <= 1
    assert any(answer.segments for answer in found)
    assert [s.label for s in alone.segments] == [s.label for s in found[3].segments]
    assert (alone.segment_map != found[3].segment_map).mean() < 1e-3


def test_instances_and_semantic_at_the_pictures_own_sizes(model, images):
    for image, found in zip(images, model.instances(images, ["dog", "red"], [True, False]), strict=True):
        assert found.masks.shape == (len(found.scores), *image.shape[:2])
        assert (found.labels == 0).all() and (np.diff(found.scores) <= 0).all()
    for image, found in zip(images, model.semantic(images, ["dog", "red"]), strict=True):
        assert found.shape == image.shape[:2] and set(np.unique(found)) <= {0, 1}


def test_order_of_class_names_only_renames_labels(model, images):
    one = model.semantic(images[:2], ["dog", "red"])
    two = model.semantic(images[:2], ["red", "dog"])
    for a, b in zip(one, two, strict=True):
        assert (a == 1 - b).mean() > 0.999


# --- embeddings ---------------------------------------------------------------------------------------------------


def test_images_are_embedded_independently_of_their_company(model, images):
    together = model.embed_images(images)
    for k, image in enumerate(images):
        alone = model.embed_images([image])
        torch.testing.assert_close(alone.image[0], together.image[k], rtol=0, atol=1e-5)
        torch.testing.assert_close(alone.objects[0], together.objects[k], rtol=0, atol=1e-5)
        torch.testing.assert_close(alone.scores[0], together.scores[k], rtol=0, atol=1e-5)
        assert together.object_masks(k).shape == (8, *image.shape[:2])
    norms = torch.cat([together.image.norm(dim=-1), together.objects.norm(dim=-1).flatten()])
    torch.testing.assert_close(norms, torch.ones_like(norms))
    assert (together.image[0] - together.image[1]).abs().max() > 1e-3


def test_queries_are_embedded_independently_of_their_company(model, queries):
    """Text beside regions, and regions of pictures of different sizes."""
    everything = [*queries, Query("a red dog")]
    together = model.embed_queries(everything)
    assert together.padding.sum(dim=1).tolist() == [3 - len(query.entities) for query in everything]
    assert not together.entities[together.padding].any()
    for k, query in enumerate(everything):
        alone = model.embed_queries([query])
        count = len(query.entities)
        torch.testing.assert_close(alone.query[0], together.query[k], rtol=0, atol=1e-5)
        torch.testing.assert_close(alone.entities[0, :count], together.entities[k, :count], rtol=0, atol=1e-5)
    split = model.embed_queries(everything, batch_size=2)
    torch.testing.assert_close(split.entities, together.entities, rtol=0, atol=1e-5)


def test_a_region_is_what_its_image_shows_there_not_its_name(model, images, tmp_path):
    """The same region by path, by array and with a label; another region of the image differs."""
    file = tmp_path / "a.png"
    Image.fromarray(images[1]).save(file)
    mask = box(images[1], 0.1, 0.1, 0.5, 0.5)
    same = [
        Query("a ", Region(str(file), mask=mask)),
        Query("a ", Region(images[1], mask=mask)),
        Query("a ", Region(Image.open(file), mask=mask, label="dog")),
    ]
    other = Query("a ", Region(images[1], mask=~mask))
    found = model.embed_queries([*same, other]).entities[:, 0]
    torch.testing.assert_close(found[1:3], found[:1].expand(2, -1), rtol=0, atol=1e-5)
    assert (found[3] - found[0]).abs().max() > 1e-4


def test_words_never_seen_are_reported(model):
    found = model.embed_queries([Query("a ", Phrase("red dog")), Query("a ", Phrase("qwertyuiop dog"))])
    assert found.unknown_words[0] == () and "qwertyuiop" in found.unknown_words[1]


def test_texts_are_embedded_one_by_one_or_together(model):
    texts = ["dog", "a red dog next to a dog", "red"]
    together = model.embed_texts(texts)
    torch.testing.assert_close(together, model.embed_texts(texts, batch_size=1), rtol=0, atol=1e-5)
    torch.testing.assert_close(together.norm(dim=-1), torch.ones(3))


def test_embed_images_and_embed_queries_are_halves_of_the_joint_forward(model, images, queries):
    """One forward with the prompts of all tasks, as in training, gives what the two calls give."""
    pictures, asked = images[:3], queries[:3]
    frames = [model.resizing.fit(*image.shape[:2]) for image in pictures]
    found, wanted = model.embed_images(pictures), model.embed_queries(asked)
    with torch.inference_mode():
        regions, aligned = model._regions(asked)
        for numbers in by_canvas(frames, 1):
            k = numbers[0]
            features = model.vision(frames[k].place(pictures[k])[None])
            memory = model.interface.encode_image(features.maps, features.pooled, features.aligned)
            own = tuple(
                replace(t, values=t.values[k : k + 1], padding=t.padding[k : k + 1], index=t.index[k : k + 1])
                for t in regions
            )
            sentences = Sentences.read(model.language, [asked[k].render(model.language.placeholder)], model.device)
            width = own[0].index.max() + 1
            missing = int(width) - sentences.padding.shape[1]
            sentences = replace(
                sentences,
                padding=F.pad(sentences.padding, (0, missing), value=True),
                is_region=F.pad(sentences.is_region, (0, missing)),
                phrases=F.pad(sentences.phrases, (0, 0, 0, missing)),
            )
            stroke = torch.zeros(1, 1, *frames[k].canvas, dtype=torch.bool)
            stroke[..., 8:24, 8:24] = True
            prompts = [
                generic.prompt(),
                Phrases.read(model.language, [["dog", "red"]], model.device).prompt(model.interface),
                interactive.prompt(model.interface, memory, stroke, torch.zeros(1, 1, dtype=torch.bool)),
                sentences.prompt(
                    model.interface, interleaved.SEGMENTATION + interleaved.RETRIEVAL, own, aligned[k : k + 1]
                ),
            ]
            final = model.interface(memory, prompts, deep=True).final
            image, query = final.semantic[Group.IMAGE][0, 0], final.semantic[Group.INTERLEAVED][0, 0]
            objects, entities = final.semantic[Group.OBJECT][0], final.semantic[Group.INTERLEAVED_ENTITY][0]
            count = len(asked[k].entities)
            close = {"rtol": 0, "atol": 1e-5}
            torch.testing.assert_close(F.normalize(image, dim=-1), found.image[k], **close)
            torch.testing.assert_close(F.normalize(objects, dim=-1), found.objects[k], **close)
            torch.testing.assert_close(F.normalize(query, dim=-1), wanted.query[k], **close)
            torch.testing.assert_close(F.normalize(entities[:count], dim=-1), wanted.entities[k, :count], **close)


# --- keeping ------------------------------------------------------------------------------------------------------


def test_saved_and_loaded_model_is_the_same_bit_for_bit(model, images, queries, tmp_path):
    model.save_pretrained(tmp_path)
    again = FIND.from_pretrained(tmp_path)
    assert again.config == model.config and again.fingerprint == model.fingerprint
    assert not again.training
    for name, value in model.interface.state_dict().items():
        assert torch.equal(again.interface.state_dict()[name], value), name
    assert torch.equal(again.embed_images(images).image, model.embed_images(images).image)
    assert torch.equal(again.embed_queries(queries).entities, model.embed_queries(queries).entities)
    assert {"config.json", "interface.safetensors"} <= {file.name for file in tmp_path.iterdir()}


def test_checkpoint_holds_no_foundation(model, tmp_path):
    model.save_pretrained(tmp_path)
    own = sum(p.numel() * p.element_size() for p in model.interface.state_dict().values())
    assert (tmp_path / "interface.safetensors").stat().st_size < 1.1 * own + 20_000
    about = json.loads((tmp_path / "config.json").read_text())
    assert about["vision"] == "random:tiny" and set(about["foundations"]) == {"vision", "language"}


def test_fingerprint_changes_with_the_interface(model):
    torch.manual_seed(1)
    assert FIND.build(CONFIG).fingerprint != model.fingerprint


def test_training_mode_leaves_the_foundations_frozen(model):
    model.train()
    try:
        assert not any(m.training for part in (model.vision, model.language) for m in part.modules())
        assert not any(p.requires_grad for part in (model.vision, model.language) for p in part.parameters())
        assert all(p.requires_grad for p in model.interface.parameters())
    finally:
        model.eval()


# --- errors -------------------------------------------------------------------------------------------------------


def test_query_without_an_entity_cannot_segment(model, images):
    with pytest.raises(FindError, match=r"query 1 \('a red dog'\) has no entity.*braces"):
        model.segment(images[:2], [Query(Phrase("dog")), Query("a red dog")])


def test_numbers_of_images_and_prompts_must_agree(model, images):
    with pytest.raises(FindError, match="2 images but 1 query"):
        model.segment(images[:2], [Query(Phrase("dog"))])
    with pytest.raises(FindError, match="1 image but 2 lists of texts"):
        model.ground(images[:1], [["dog"], ["red"]])
    with pytest.raises(FindError, match="1 image but 2 lists of negative strokes"):
        stroke = box(images[0], 0, 0, 1, 1)[None]
        model.interact(images[:1], [stroke], [stroke, stroke])


def test_each_stroke_needs_its_own_negatives(model, images):
    stroke = box(images[0], 0, 0, 0.5, 0.5)
    with pytest.raises(FindError, match="image 0 has 1 strokes but 2 negative ones"):
        model.interact(images[:1], [stroke[None]], [np.stack([stroke, stroke])])


def test_each_class_name_is_a_thing_or_stuff(model, images):
    for answer in (model.panoptic, model.instances):
        with pytest.raises(FindError, match="2 class names but 1 is_thing"):
            answer(images[:1], ["dog", "red"], [True])


def test_stroke_of_another_size_than_its_picture(model, images):
    with pytest.raises(FindError, match="stroke 0 of image 0 is 60x90 pixels, its image 90x60"):
        model.interact(images[:1], [box(images[1], 0, 0, 1, 1)[None]])


def test_empty_stroke_is_named(model, images):
    strokes = np.stack([box(images[0], 0, 0, 0.5, 0.5), box(images[0], 0, 0, 0, 0)])
    with pytest.raises(FindError, match="stroke 1 of image 0 is empty"):
        model.interact(images[:1], [strokes])


def test_nothing_to_embed_is_an_error(model):
    with pytest.raises(FindError, match="no images to embed"):
        model.embed_images([])
    with pytest.raises(FindError, match="no queries to embed"):
        model.embed_queries([])
    with pytest.raises(FindError, match="no texts to embed"):
        model.embed_texts([])
    with pytest.raises(FindError, match="no class names to embed"):
        model.embed_classes([])


def test_no_images_have_no_answers(model):
    assert model.segment([], []) == model.ground([], []) == model.interact([], []) == []
    assert model.panoptic([], ["dog"], [True]) == []


def test_unknown_name_says_what_was_tried(tmp_path):
    with pytest.raises(FindError, match="no model 'find-tinny': it is neither shipped"):
        FIND.from_pretrained("find-tinny", local_files_only=True, cache_dir=tmp_path)
    with pytest.raises(FindError, match="no model 'outputs/no/model': it is neither shipped"):
        FIND.from_pretrained("outputs/no/model", local_files_only=True, cache_dir=tmp_path)


def test_words_never_seen_are_warned_of_once_whatever_is_asked(images):
    calls = (
        lambda model, word: model.ground(images[:1], [[f"a {word}"]]),
        lambda model, word: model.embed_texts([f"a {word}"]),
        lambda model, word: model.panoptic(images[:1], [word], [True]),
        lambda model, word: model.segment(images[:1], [Query(Phrase(f"a {word}"))]),
    )
    model = FIND.build(CONFIG)
    for number, call in enumerate(calls):
        word = "blorf" + "xyzw"[number]
        with pytest.warns(UnknownWordsWarning, match=word) as reported:
            call(model, word)
        assert [warning.filename for warning in reported] == [__file__]  # not deep in the package, nor in torch
        with warnings.catch_warnings():
            warnings.simplefilter("error", UnknownWordsWarning)
            call(model, word)
