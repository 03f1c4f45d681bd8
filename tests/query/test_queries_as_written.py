r"""Whatever is typed or sent as a query, it is read, or one error says what is wrong with it."""

import contextlib
import json
from typing import Any

import pytest
from breaking import VALUES, broken_values, quick, thorough
from hypothesis import given, settings
from hypothesis import strategies as st

from find.errors import FindError
from find.query.query import Phrase, Query, Region

PIECES = (
    "{", "}", "[", "]", "@", "#", "\\", "\\{", "\\]", "\\\\", ";", ",", "1", "1,2", "@1,2", "@0,0,9,9", "#m.png", "a",
    "a dog", "dog.jpg", "C:\\photos\\dog.jpg", "C:\\\\photos\\\\dog.jpg", "\\\\server\\share", "../..", "/etc/passwd",
    "~", "//", " ", "\n", "\t", "\0", "\x1b[31m", "\u202e", "\u2028", "\ufeff", "\u0661,\u0662", "é日本😀", "\ud800",
    "\udcff", "nan", "inf", "1e400", "-1", "1_0", "0x1", "'", '"', "“", "%s", "{0}", "{{x}}", "$(id)", "x" * 3000,
)  # fmt: skip
texts = st.lists(st.sampled_from(PIECES), max_size=8).map("".join) | st.text(max_size=30)
RUNS = {"size": [4, 4], "counts": [3, 5, 8]}
DOCUMENTS = [
    {"parts": ["a ", {"phrase": "dog"}, " by ", {"region": {"image": "a.jpg", "label": "Rex", **shape}}]}
    for shape in (
        {"box": [0, 0, 9, 9]}, {"points": [[1, 2], [3, 4]]}, {"mask": "m.png"}, {"mask": RUNS},
        {"polygon": [[0, 0], [9, 0], [9, 9]]}, {"scribble": [[0, 0], [5, 5]]},
    )
]  # fmt: skip


def used(query: Query) -> None:
    """All that is done with a query before a model sees it."""
    assert Query.from_json(json.loads(json.dumps(query.to_json()))) == query
    assert hash(query) == hash(Query(*query.parts))
    assert len(query.connections) == len(query.entities) + 1
    assert [query.text[start:end] for start, end in query.spans()] == list(query.entity_names)
    assert all(name.strip() for name in query.entity_names)
    with contextlib.suppress(FindError):
        query.check()
    with contextlib.suppress(FindError):
        assert Query.parse(query.format()) == query


def parsed(text: str) -> None:
    try:
        query = Query.parse(text)
    except FindError as error:
        assert 20 < len(str(error)) < 3500
    else:
        query.text.encode("utf-8", "surrogateescape" if query.entities else "strict")
        used(query)
        assert Query.parse(query.format()) == query


def read(document: Any) -> None:
    try:
        query = Query.from_json(document)
    except FindError:
        return
    used(query)


@settings(quick, max_examples=300)
@given(texts)
def test_any_text_is_a_query_or_one_error(text: str):
    parsed(text)


@quick
@given(st.sampled_from(DOCUMENTS).flatmap(broken_values))
def test_any_json_is_a_query_or_one_error(document: tuple[Any, str]):
    read(document[0])


@pytest.mark.slow
@settings(thorough, max_examples=20_000)
@given(texts)
def test_thousands_of_texts(text: str):
    parsed(text)


@pytest.mark.slow
@settings(thorough, max_examples=20_000)
@given(st.sampled_from(DOCUMENTS).flatmap(broken_values))
def test_thousands_of_documents(document: tuple[Any, str]):
    read(document[0])


@pytest.mark.parametrize("value", [value for value in VALUES if not isinstance(value, str)], ids=lambda v: str(v)[:20])
def test_what_is_no_text_is_no_query(value: object):
    with pytest.raises(FindError, match="a query is text, not"):
        Query.parse(value)
    with pytest.raises(FindError, match="a phrase is text, not"):
        Query.from_json({"parts": [{"phrase": value}]})


@pytest.mark.parametrize(
    "mask",
    [
        {"size": [100_000, 100_000], "counts": "0"},
        {"size": [2**40, 2**40], "counts": [2**80]},
        {"size": [-4, -4], "counts": [16]},
        {"size": [4, 4], "counts": [3, 5]},
        {"size": [4, 4], "counts": [3, 5, 9]},
        {"size": [4, 4], "counts": "0000000000"},
        {"size": [4, 4], "counts": "~~~"},
        {"size": [4.0, 4], "counts": [16]},
        {"size": [True, 16], "counts": [16]},
        {"size": "44", "counts": [16]},
        {"counts": [16]},
        {},
    ],
    ids=str,
)
def test_a_code_that_is_no_mask_is_refused_before_it_is_decoded(mask: dict):
    with pytest.raises(FindError, match="part 1 of the query: the region's mask must be a path or a COCO RLE"):
        Query.from_json({"parts": [{"region": {"image": "a.jpg", "mask": mask}}]})


def test_both_forms_of_a_code_are_one_mask():
    def query(counts: object) -> Query:
        return Query.from_json({"parts": [{"region": {"image": "a.jpg", "mask": {**RUNS, "counts": counts}}}]})

    assert query([3, 5, 8]) == query("358")
    assert query([3, 5, 8]).entities[0].mask.T.ravel().tolist() == [False] * 3 + [True] * 5 + [False] * 8


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ({"box": [0, 0, 10**400, 9]}, "a box is four"),
        ({"box": ["0", "0", "9", "9"]}, "a box is four"),
        ({"points": [[10**400, 1]]}, "pairs of numbers"),
        ({"points": [["1", "2"]]}, "pairs of numbers"),
        ({"points": [[True, False]]}, "pairs of numbers"),
        ({"box": [0, 0, 9, 9], "label": 7}, "its label is text, not int"),
        ({"box": [0, 0, 9, 9], "label": {}}, "its label is text, not dict"),
    ],
    ids=str,
)
def test_values_of_another_type_are_told(shape: dict, expected: str):
    with pytest.raises(FindError, match=f"part 1 of the query: region of a.jpg: .*{expected}"):
        Query.from_json({"parts": [{"region": {"image": "a.jpg", **shape}}]})


def test_lone_surrogates_are_reported_with_their_position():
    for make in (lambda text: Query.parse(text), Query, Phrase):
        with pytest.raises(FindError, match=r"'\\udcff' at character 3 is a lone surrogate"):
            make("a \udcff dog")
    assert Query.parse("[Jos\udce9.jpg@1,2]").entities[0].image == "Jos\udce9.jpg"  # a file may be called so


@pytest.mark.parametrize(
    "name", ["a\0b.jpg", "a\0b/c.jpg", "\ud800.jpg", "\ud800/b.jpg", "x" * 5000, "x/" * 3000 + "y"], ids=ascii
)
def test_a_name_that_no_file_can_have_is_told(name: str):
    with pytest.raises(FindError, match=r"no such image file|no file can be looked for by this name") as expected:
        Query(Region(name, points=(1, 2))).check()
    assert len(str(expected.value)) < 20_000


def test_windows_paths_are_read_with_slashes_or_double_backslashes():
    for path, read_as in ((r"C:\\photos\\dog.jpg", r"C:\photos\dog.jpg"), ("C:/photos/dog.jpg", "C:/photos/dog.jpg")):
        assert Query.parse(f"a [{path}@1,2]").parts == ("a ", Region(read_as, points=(1, 2)))
    with pytest.raises(FindError, match=r"a backslash itself is written \\\\; paths may have / in its place"):
        Query.parse(r"a [C:\photos\dog.jpg@1,2]")


@pytest.mark.parametrize("text", ["{", "\\", "a", "{a}", "[a@1,2]"], ids=ascii)
def test_a_query_without_end_costs_little(text: str):
    for length in (100_001, 3_000_000):
        with pytest.raises(FindError, match=f"the query has {length} characters, more than 100000") as expected:
            Query.parse((text * length)[:length])
        assert len(str(expected.value)) < 300
    with contextlib.suppress(FindError):
        assert len(Query.parse((text * 50_000)[:50_000]).text) > 9
