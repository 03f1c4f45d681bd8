"""Claims about lists that callers give: what is no list, or a list of other things, is told in one sentence."""

import numpy as np
import pytest
from PIL import Image
from small_run import CONFIG

from find.errors import FindError
from find.model.model import FIND
from find.query.query import Phrase, Query

IMAGE = np.zeros((40, 50, 3), np.uint8)
QUERY = Query.parse("{a dog}")


@pytest.fixture(scope="module")
def model() -> FIND:
    return FIND.build(CONFIG)


@pytest.mark.parametrize("image", ["a.jpg", IMAGE, Image.fromarray(IMAGE)])
def test_one_image_is_no_list(model, image):
    calls = (
        lambda: model.embed_images(image),
        lambda: model.segment(image, [QUERY]),
        lambda: model.ground(image, [["a dog"]]),
        lambda: model.interact(image, [np.ones((1, 40, 50), bool)]),
        lambda: model.panoptic(image, ["dog"], [True]),
    )
    for call in calls:
        with pytest.raises(FindError, match=r"images is one \w+; give a list, \[image\]"):
            call()


@pytest.mark.parametrize(
    ("queries", "told"),
    [
        (["{a dog}"], r"query 0 is a str; write Query.parse\('\{a dog\}'\)"),
        ([QUERY, Phrase("a dog")], r"query 1 is a Phrase; write Query\(...\) around it"),
        ([QUERY - Phrase("a cat")], "query 0 is joined of several"),
        (QUERY, r"queries is one Query; give a list of queries, also of one: \[query\]"),
        ("{a dog}", "queries is one str; give a list"),
    ],
)
def test_what_is_no_query_is_told_with_what_to_write(model, queries, told):
    for call in (lambda: model.embed_queries(queries), lambda: model.segment([IMAGE] * 2, queries)):
        with pytest.raises(FindError, match=told):
            call()


def test_lists_of_queries_and_images_are_of_equal_length(model):
    with pytest.raises(FindError, match="2 images but 1 queries; give one for each image"):
        model.segment([IMAGE, IMAGE], [QUERY])


def test_one_text_is_no_list_of_its_letters(model):
    calls = {
        r"texts is one str; give a list: \['a dog'\]": lambda: model.embed_texts("a dog"),
        r"class names is one str; give a list: \['dog'\]": lambda: model.semantic([IMAGE], "dog"),
        r"the list of texts of image 0 is one str; give a list: \['a dog'\]": lambda: model.ground([IMAGE], ["a dog"]),
        r"for each image: \[\['a dog'\]\]": lambda: model.ground([IMAGE], "a dog"),
        "texts: number 1 is a Query, not a str": lambda: model.embed_texts(["a dog", QUERY]),
    }
    for told, call in calls.items():
        with pytest.raises(FindError, match=told):
            call()
