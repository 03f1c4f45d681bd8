"""Whatever stands in a filter, rows are found by it, or one error says what is wrong with it."""

import datetime
from pathlib import Path

import pytest
from breaking import VALUES, quick, thorough
from colors import ColorModel, paint
from hypothesis import given, settings
from hypothesis import strategies as st

from find.errors import FindError
from find.query.query import Phrase
from find.retrieval.album import Album
from find.retrieval.connection import UnreadableAlbum

GIVEN = [
    *VALUES, b"x", object(), datetime.datetime(2024, 1, 1), datetime.datetime(1, 1, 1), datetime.date(9999, 12, 31),
    datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone.utc), datetime.timedelta(1), datetime.time(1),
    [1, "a", None], list(range(2000)), ["x" * 1000] * 100, {1, 2}, ("a'b", "';--"),
]  # fmt: skip
WORDS = (
    "path", "width", "seconds", "time", '"path"', "`width`", "image", "a", "AND", "OR", "NOT", "IN", "LIKE", "BETWEEN",
    "IS", "NULL", "CASE", "WHEN", "THEN", "ELSE", "END", "CAST", "AS", "INT", "TIMESTAMP", "DATE", "INTERVAL", "ESCAPE",
    "(", ")", ",", "+", "-", "*", "/", "%", "=", "<", "!=", "||", "::", ";", "--", "/*", "lower(", "regexp_like(",
    "date_part(", "0", "1.5", "1e400", "9" * 40, "'", "''", "'a.png'", "'../x'", "'\u202e日本'", "'\ud800'", "\0", "é",
    "\n", ":a", ":b", ":",
)  # fmt: skip


def called(name: str, *arguments: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(*arguments).map(lambda given: f"{name}({', '.join(given)})")


def joined(*parts: st.SearchStrategy[str] | str) -> st.SearchStrategy[str]:
    return st.tuples(*(st.just(part) if isinstance(part, str) else part for part in parts)).map(" ".join)


def one_of(*texts: str) -> st.SearchStrategy[str]:
    return st.sampled_from(texts)


numbers = st.deferred(
    lambda: (
        one_of(
            "width", "height", "bytes", "frame", "seconds", "0", "1", "640", "1.5", "1e300", "9223372036854775807", ":a"
        )
        | joined("(", numbers, one_of("+", "-", "*", "/", "%"), numbers, ")")
        | joined("-", numbers)
        | called("length", strings)
        | one_of("abs", "floor", "ceil", "round").flatmap(lambda name: called(name, numbers))
        | called("coalesce", numbers, numbers)
        | called("date_part", one_of("'year'", "'hour'", "'epoch'", "'x'"), times)
        | joined("cast(", strings, "as", one_of("int", "bigint", "double"), ")")
        | joined("case when", conditions, "then", numbers, "else", numbers, "end")
    )
)
strings = st.deferred(
    lambda: (
        one_of("path", "'a.png'", "'%'", "''", "'('", "'[a'", "'(a+)+$'", "'日本'", "'it''s'", "NULL", ":b")
        | one_of("lower", "upper").flatmap(lambda name: called(name, strings))
        | joined(strings, "||", strings)
        | joined("cast(", numbers, "as string )")
    )
)
times = st.deferred(
    lambda: (
        one_of("time", "modified", "timestamp '2024-05-01'", "timestamp 'x'", "date '2024-13-45'", "NULL", ":a")
        | joined(times, one_of("+", "-"), "interval", one_of("'1 day'", "'x'", "'999999999 year'"))
        | called("date_trunc", one_of("'day'", "'x'"), times)
        | called("to_timestamp", strings)
        | called("to_date", strings)
    )
)
compared = one_of("=", "<", ">", "<=", ">=", "!=", "<>")
conditions = st.deferred(
    lambda: (
        joined(numbers, compared, numbers)
        | joined(strings, one_of("=", "<", "LIKE", "NOT LIKE", "ILIKE"), strings)
        | joined(times, compared, times)
        | joined(numbers, "BETWEEN", numbers, "AND", numbers)
        | joined(strings, "IN (", strings, ",", strings, ")")
        | joined(strings | numbers | times, one_of("IS NULL", "IS NOT NULL"))
        | one_of("starts_with", "ends_with", "contains", "regexp_like").flatmap(
            lambda name: called(name, strings, strings)
        )
        | joined("NOT (", conditions, ")")
        | joined("(", conditions, one_of("AND", "OR"), conditions, ")")
        | one_of("true", "false", "NULL", "width", "path")
    )
)
filters = conditions | st.lists(st.sampled_from(WORDS), max_size=9).map(" ".join) | st.text(max_size=20)
given_values = st.fixed_dictionaries({"a": st.sampled_from(GIVEN), "b": st.sampled_from(GIVEN)})


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Album:
    folder: Path = tmp_path_factory.mktemp("photos")
    for name in ("a.png", "it's.png", "deep/日本.png"):
        paint(folder / name, "red", "blue")
    return Album.build(ColorModel(), folder, tmp_path_factory.mktemp("albums") / "my.album", progress=False)


def asked(album: Album, where: str, values: dict[str, object]) -> None:
    values = {name: value for name, value in values.items() if f":{name}" in where}
    try:
        assert len(album.search(Phrase("red"), where=where, values=values)) <= 3
    except UnreadableAlbum:  # a filter is never to blame the album for
        raise
    except FindError as error:
        assert "filter" in str(error) or "NUL character" in str(error)
        assert len(str(error)) < 6000


@settings(quick, max_examples=100)
@given(filters, given_values)
def test_any_filter_finds_rows_or_is_told(album: Album, where: str, values: dict[str, object]):
    asked(album, where, values)


@pytest.mark.slow
@settings(thorough, max_examples=10_000)
@given(filters, given_values)
def test_thousands_of_filters(album: Album, where: str, values: dict[str, object]):
    asked(album, where, values)


@pytest.mark.parametrize("value", VALUES[1:], ids=lambda value: ascii(value)[:20])
def test_what_is_no_condition_is_no_filter(album: Album, value: object):
    with pytest.raises(FindError, match="filter"):
        album.search(Phrase("red"), where=value)


@pytest.mark.parametrize(
    "where",
    ["(" * 99_999, "path " * 19_999, "NOT " * 19_999 + "true", "'" * 99_999, "width > " + "9" * 1_000_000,
     "1," * 500_000, "- " * 49_999, "a" * 99_999, "path = '" + "x" * 1_000_000 + "'", "lower(" * 16_000,
     " " * 99_999 + "x", "x ( x ("],
    ids=lambda where: where[:8],
)  # fmt: skip
def test_a_filter_without_end_costs_little(album: Album, where: str):
    with pytest.raises(FindError, match="filter") as expected:
        album.search(Phrase("red"), where=where)
    assert len(str(expected.value)) < 1000
