"""Claims about what segment and search write."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as coco_mask

from find.model.predictions import EntityMask
from find.query.query import Phrase, Query, Region
from find.retrieval.hits import Hit, Objects, ScorePart
from find.retrieval.objects import SIDE, ObjectMasks
from find.visualization.results import (
    GONE,
    draw_entities,
    draw_hits,
    encode_mask,
    entities_json,
    hit_line,
    hits_json,
    hits_warning,
    mask_box,
    with_doubts,
)
from find.visualization.uncertainty import DOUBTFUL, UnknownWords

MASKS = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.booleans())
IMAGE = np.zeros((6, 8, 3), np.uint8)
KNOWN = UnknownWords((), ((), ()))
QUERY = Query("the ", Phrase("red dog"), " near ", Region(IMAGE, box=(1, 1, 4, 4), label="cup"))


@given(MASKS)
def test_the_mask_code_is_what_coco_reads_back_and_travels_as_json(mask):
    encoded = json.loads(json.dumps(encode_mask(mask)))
    assert (coco_mask.decode(encoded).astype(bool) == mask).all()


@given(MASKS)
def test_the_box_is_the_smallest_that_holds_the_mask(mask):
    box = mask_box(mask)
    if not mask.any():
        assert box is None
        return
    x0, y0, x1, y1 = box
    assert mask[y0:y1, x0:x1].sum() == mask.sum()
    assert mask[y0].any() and mask[y1 - 1].any() and mask[:, x0].any() and mask[:, x1 - 1].any()


def test_entities_are_named_as_a_reader_of_the_query_would():
    assert QUERY.entity_names == ("red dog", "[cup]")


def test_records_keep_the_order_of_the_entities():
    masks = [EntityMask(np.zeros((6, 8), bool), 0.25), EntityMask(np.ones((6, 8), bool), 0.75)]
    first, second = entities_json(QUERY, masks, KNOWN)
    assert (first["text"], first["score"], first["box"]) == ("red dog", 0.25, None)
    assert (second["text"], second["score"], second["box"]) == ("[cup]", 0.75, (0, 0, 8, 6))
    assert second["segmentation"]["size"] == [6, 8]


def _hit(part: ScorePart) -> Hit:
    masks = ObjectMasks(np.zeros((4, 4), np.int32), np.zeros((4, SIDE, SIDE), bool))
    found = Objects(np.eye(4, dtype=np.float16), np.ones(4, np.float32), masks)
    return Hit(path=Path("a.jpg"), name="a.jpg", score=part.score, parts=(part,), height=6, width=8, found=found)


def test_a_hit_tells_what_made_its_score():
    masks = [EntityMask(np.ones((6, 8), bool), 0.5)] * 2
    hit = _hit(ScorePart(QUERY, False, 1.2, 0.8, entity_terms=(0.9, 0.7), objects=(3, 1)))
    line = "  1. 1.200  a.jpg  (sentence 0.800, red dog 0.900, [cup] 0.700)"
    assert hit_line(1, hit, QUERY, KNOWN) == line
    dog_is_unknown = UnknownWords(("dog",), (("dog",), ()))
    assert hit_line(1, hit, QUERY, dog_is_unknown) == line.replace("red dog", "red dog?")
    (record,) = hits_json(QUERY, [hit], [masks], KNOWN)
    assert (record["rank"], record["path"], record["score"], record["image_term"]) == (1, "a.jpg", 1.2, 0.8)
    assert [(entity["term"], entity["object"]) for entity in record["entities"]] == [(0.9, 3), (0.7, 1)]
    json.dumps(record)


def test_a_hit_marks_what_is_probably_not_there_and_the_moment_of_a_film():
    part = ScorePart(QUERY, False, 1.2, 0.8, entity_terms=(0.9, 0.7), objects=(3, 1), present=(0.49, 0.51))
    hit = replace(_hit(part), seconds=61.5, relevance=0.49)
    line = "  1. 1.200  a.jpg at 61.5 s  (relevance 0.49, like b.jpg 0.800, red dog? 0.900, [cup] 0.700)"
    assert hit_line(1, hit, QUERY, KNOWN, whole="like b.jpg") == line
    assert "relevance 0.49?" in hit_line(1, hit, QUERY, UnknownWords(("dog",), ((), ())))


def test_hits_that_are_probably_wrong_are_told_of_and_others_are_not():
    hit = _hit(ScorePart(QUERY, False, 1.2, 0.8, entity_terms=(0.9, 0.7), objects=(3, 1)))
    bad, good = replace(hit, relevance=0.49), replace(hit, relevance=0.5)
    assert "highest relevance 0.49" in hits_warning([replace(hit, relevance=0.1), bad])
    assert hits_warning([bad, good]) is None and hits_warning([hit]) is None and hits_warning([]) is None


def test_a_hit_of_a_query_without_entities_has_none():
    query = Query("only words")
    hit = _hit(ScorePart(query, False, 0.8, 0.8, entity_terms=(), objects=()))
    (record,) = hits_json(query, [hit], [[]], UnknownWords((), ()))
    assert record["entities"] == []


def test_a_hit_whose_picture_is_gone_keeps_its_terms_and_has_a_grey_tile():
    hit = _hit(ScorePart(QUERY, False, 1.2, 0.8, entity_terms=(0.9, 0.7), objects=(3, 1)))
    there = [EntityMask(np.ones((6, 8), bool), 0.5)] * 2
    first, second = hits_json(QUERY, [hit, hit], [[None, None], there], KNOWN)
    assert [entity["term"] for entity in first["entities"]] == [0.9, 0.7]
    for name in ("score", "box", "segmentation"):
        assert [entity[name] is None for entity in first["entities"] + second["entities"]] == [True] * 2 + [False] * 2
    sheet = np.asarray(draw_hits(QUERY, [hit, hit], [None, IMAGE], [[None, None], there], KNOWN))
    grey = (sheet == GONE).all(axis=2)
    assert grey[:, :344].sum() >= 320 * 240 and not grey[:, 344:].any()


def test_what_a_search_found_is_drawn_with_the_terms_that_ranked_it():
    hit = _hit(ScorePart(QUERY, False, 1.2, 0.8, entity_terms=(0.9, 0.7), objects=(3, 1)))
    masks = [EntityMask(np.ones((6, 8), bool), 0.5)] * 2
    other = replace(hit, parts=(replace(hit.parts[0], entity_terms=(0.8, 0.7)),))
    pictures = [
        draw_hits(QUERY, [hit], [IMAGE], [masks], KNOWN),
        draw_hits(QUERY, [hit], [IMAGE], [[EntityMask(found.mask, 0.6) for found in masks]], KNOWN),
        draw_hits(QUERY, [other], [IMAGE], [masks], KNOWN),
    ]
    assert pictures[0] == pictures[1] != pictures[2]


class Dictionary:
    """A language encoder's tokenizer that knows two words; no more of an encoder may be asked for."""

    placeholder = "thing"

    def tokenize(self, texts):
        unknown = tuple(tuple(word for word in text.split() if word not in ("red", "thing", "near")) for text in texts)
        return SimpleNamespace(unknown=unknown)


def test_unknown_words_are_told_of_the_query_and_of_the_entity_that_holds_them():
    query = Query(Phrase("red blorf"), " near ", Region(IMAGE, box=(1, 1, 4, 4)), " dax")
    unknown = UnknownWords.read(Dictionary(), query)
    assert unknown == UnknownWords(("blorf", "dax"), (("blorf",), ()))
    assert '"blorf", "dax"' in unknown.warning
    assert UnknownWords.read(Dictionary(), Query("red thing")).warning is None


def test_doubtful_are_unknown_words_empty_masks_and_low_scores():
    masks = [EntityMask(np.ones((6, 8), bool), 0.99), EntityMask(np.ones((6, 8), bool), DOUBTFUL - 0.01)]
    unknown = UnknownWords(("blorf",), (("blorf",), ()))
    assert [record["doubtful"] for record in entities_json(QUERY, masks, unknown)] == [True, True]
    assert [record["doubtful"] for record in entities_json(QUERY, masks, KNOWN)] == [False, True]
    empty = [EntityMask(np.zeros((6, 8), bool), 0.99), masks[0]]
    assert [record["doubtful"] for record in entities_json(QUERY, empty, KNOWN)] == [True, False]


def test_a_picture_of_doubtful_things_says_so_above_it():
    sure, unsure = (EntityMask(np.ones((6, 8), bool), score) for score in (0.99, 0.01))
    picture = draw_entities(IMAGE, QUERY, [sure, sure], KNOWN, min_side=200)
    assert with_doubts(picture, [sure, sure], KNOWN) is picture
    low = with_doubts(picture, [sure, unsure], KNOWN)
    both = with_doubts(picture, [sure, unsure], UnknownWords(("blorf",), (("blorf",), ())))
    assert picture.height < low.height < both.height and picture.width == low.width == both.width
