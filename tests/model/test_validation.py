"""Claims about lists that callers give: anything but a list of the right items is reported in one sentence."""

import numpy as np
import pytest
from small_run import CONFIG

from find.errors import FindError, InputError
from find.model.model import FIND
from find.query.query import Phrase, Query

IMAGE = np.zeros((40, 50, 3), np.uint8)
QUERY = Query.parse("{a dog}")


@pytest.fixture(scope="module")
def model() -> FIND:
    return FIND.build(CONFIG)


@pytest.mark.parametrize(
    ("queries", "expected"),
    [
        (["{a dog}", "{a"], r"query 1, '\{a': part 1 of the query.*never closed"),
        ([QUERY, 3], r"query 1 is a int; give text such as '\{a dog\}'"),
        ([QUERY - Phrase("a cat")], "query 0 is joined of several"),
        (QUERY - Phrase("a cat"), "the query is joined of several"),
        (3, "queries is a int; give a query such as"),
    ],
)
def test_what_is_no_query_is_told_with_what_to_write(model, queries, expected):
    for call in (lambda: model.embed_queries(queries), lambda: model.segment([IMAGE] * 2, queries)):
        with pytest.raises(InputError, match=expected):
            call()


def test_lists_of_queries_and_images_are_of_equal_length(model):
    with pytest.raises(FindError, match="2 images but 1 query; give one for each image"):
        model.segment([IMAGE, IMAGE], [QUERY])


def test_what_is_no_list_of_texts_is_told(model):
    calls = {
        r"no set of classes 'dog'; give a list of names, \['dog'\]": lambda: model.semantic([IMAGE], "dog"),
        r"the list of texts of image 0 is one str; give a list: \['a dog'\]": lambda: model.ground([IMAGE], ["a dog"]),
        "texts: number 1 is a Query, not a str": lambda: model.embed_texts(["a dog", QUERY]),
        "class names: number 0 is a int, not a str": lambda: model.panoptic(IMAGE, [3]),
    }
    for expected, call in calls.items():
        with pytest.raises(InputError, match=expected):
            call()
