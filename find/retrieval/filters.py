"""Search filters: SQL conditions on an album's columns, with separately passed values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime
from numbers import Integral, Real

import numpy as np

from find.errors import InputError, shown

FILE_COLUMNS = ("path", "frame", "seconds", "time", "width", "height", "bytes", "modified")
"""What every album has of its files."""
LIST_COLUMNS = ("keywords", "people")
METADATA_COLUMNS = (
    *("title", "description", *LIST_COLUMNS, "make", "camera", "lens"),
    *("iso", "exposure", "aperture", "focal_length", "latitude", "longitude"),
)
"""Columns of photographs' metadata (`find.images.metadata`); albums of earlier versions lack them."""
COLUMNS = (*FILE_COLUMNS, *METADATA_COLUMNS)
"""Columns that a filter can use."""
MOST_CHARACTERS = 100_000
MOST_OPERATORS = 300
"""Maximum per condition: a thousand nested ones overflow the stack of LanceDB's planner and crash the process."""

_TOKEN = re.compile(
    r"""(?P<text>'(?:[^']|'')*')  |  (?P<quoted>"[^"]*"|`[^`]*`)  |  (?P<value>:[A-Za-z_]\w*)
    |  (?P<number>\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+)  |  (?P<word>[A-Za-z_]\w*)  |  (?P<space>\s+)
    |  (?P<sign><=|>=|<>|!=|\|\||::|[-+*/%=<>(),])  |  (?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_IN_LIST = re.compile(
    r"(?P<text>'(?:[^']|'')*')(\s+(?P<not>not\s+)?in\s+[\"`]?(?P<list>keywords|people)\b[\"`]?)?",
    re.IGNORECASE,
)
"""Finds every text, so that none begins at the end of another."""
_NAMES = ("word", "quoted")
"""Kinds of tokens that name columns."""
_CALL = re.compile(r"\s*\(")
_WORDS = re.compile(
    "and|or|not|in|like|ilike|escape|between|is|null|true|false|case|when|then|else|end|cast|as"
    "|int|bigint|double|string|boolean|timestamp|date|interval"
)
_FUNCTIONS = re.compile(
    "lower|upper|length|starts_with|ends_with|contains|regexp_match|regexp_like"
    "|array_has|array_length|array_to_string"
    "|date_part|date_trunc|to_timestamp|to_date|abs|round|floor|ceil|coalesce"
)


def filter_sql(where: str, values: Mapping[str, object] | None = None) -> str:
    """Checks a condition and returns it as LanceDB reads it.

    `where` is an SQL condition on COLUMNS: `width > 640 AND path LIKE :folder`. Each `:name` is replaced by
    `values["name"]` (text, number, bool, date, time, None, or a list of them for IN), escaped as a literal, so a value
    cannot inject SQL. `'beach' IN keywords` asks whether a list has a text, as `array_has` does.

    Raises:
        FindError: an unknown column or function, a statement or comment, a missing, unused or unsuitable value, or a
            path that is not below the album's folder of photos.
    """
    if not isinstance(where, str) or not where.strip():
        raise InputError("the filter is empty; give a condition such as: width > 640 AND path LIKE 'holiday/%'")
    if len(where) > MOST_CHARACTERS:
        raise InputError(f"filter {shown(where)}: it has {len(where)} characters, more than {MOST_CHARACTERS}")
    if "\0" in where:
        raise InputError("the filter holds a NUL character")
    values = dict(values or {})
    unused = set(values)
    parts, about_path, depth, operators = [], False, 0, 0
    for token in _TOKEN.finditer(where):
        kind, text = str(token.lastgroup), token.group()
        if kind == "other" or (text == "-" and where[token.end() : token.end() + 1] == "-"):
            raise InputError(f"filter {shown(where)}: {text!r} at {token.start()} cannot stand in a condition")
        if text == "/" and where[token.end() : token.end() + 1] == "*":
            raise InputError(f"filter {shown(where)}: a comment cannot stand in a condition")
        if kind == "word":
            _check_word(where, token)
            about_path |= text.lower() == "path"
        elif kind == "quoted" and text[1:-1] not in COLUMNS:
            raise InputError(_no_column(where, text[1:-1]))
        elif kind == "quoted":
            about_path |= text[1:-1] == "path"
        elif kind == "value":
            name = text[1:]
            if name not in values:
                raise InputError(f"filter {shown(where)}: no value for {text}; give it in `values`")
            unused.discard(name)
            text = _literal(values[name], name)
        depth += {"(": 1, ")": -1}.get(text, 0)
        if depth < 0:
            break
        operators += (kind == "sign" and text not in "(),") or (kind == "word" and text.lower() not in COLUMNS)
        parts.append(text)
    if operators > MOST_OPERATORS:
        raise InputError(
            f"filter {shown(where)}: {operators} operators are more than the {MOST_OPERATORS} that a condition may "
            "have; many values of one column are a list: path IN :names"
        )
    if depth:
        raise InputError(f"filter {shown(where)}: its brackets do not match")
    if unused:
        raise InputError(f"filter {shown(where)}: nothing in it is called :{sorted(unused)[0]}")
    sql = _with_lists("".join(parts))
    if about_path:
        _check_paths(where, sql)
    return sql


def metadata_columns(where: str) -> set[str]:
    """Those of METADATA_COLUMNS that a condition uses."""
    words = {token.group().strip('"`').lower() for token in _TOKEN.finditer(where) if token.lastgroup in _NAMES}
    return words & set(METADATA_COLUMNS)


def _with_lists(sql: str) -> str:
    """`'text' IN keywords`, which SQL does not have, as `array_has(keywords, 'text')`."""

    def has(found: re.Match[str]) -> str:
        if found["list"] is None:
            return found.group()
        return f"{'NOT ' if found['not'] else ''}array_has({found['list']}, {found['text']})"

    return _IN_LIST.sub(has, sql)


def quoted(text: str) -> str:
    """A value as an SQL literal."""
    if "\0" in text:
        raise InputError(f"the text {text!r} holds a NUL character")
    return "'" + text.replace("'", "''") + "'"


def _check_word(where: str, token: re.Match[str]) -> None:
    word = token.group().lower()
    is_call = _CALL.match(where, token.end()) is not None
    if word in COLUMNS or _WORDS.fullmatch(word) or (is_call and _FUNCTIONS.fullmatch(word)):
        return
    if is_call:
        known = _FUNCTIONS.pattern.replace("|", ", ")
        raise InputError(f"filter {shown(where)}: there is no function {token.group()[:40]}; there are {known}")
    raise InputError(_no_column(where, token.group()))


def _no_column(where: str, name: str) -> str:
    known = ", ".join(COLUMNS)
    return f"filter {shown(where)}: there is no column {name[:40]}; there are {known} (text stands in single quotes)"


def _literal(value: object, name: str) -> str:
    if isinstance(value, (list, tuple, set, frozenset)):
        if not value:
            raise InputError(f"the list :{name} of the filter is empty")
        return f"({', '.join(_literal(item, name) for item in value)})"
    if value is None:
        return "NULL"
    if isinstance(value, (bool, np.bool_)):
        return "TRUE" if value else "FALSE"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, Integral):
        return f"({int(value)})"  # in parentheses: two minus signs would begin a comment
    if isinstance(value, Real) and np.isfinite(float(value)):
        return f"({float(value)!r})"
    if isinstance(value, datetime):
        return f"TIMESTAMP '{value.isoformat(sep=' ')}'"
    if isinstance(value, date):
        return f"DATE '{value.isoformat()}'"
    raise InputError(f"the value :{name} of the filter is {value!r}; give text, a number, a date or a time, or a list")


def _check_paths(where: str, sql: str) -> None:
    """Rejects paths that leave the folder of photos: they match nothing in an album and suggest an attack."""
    for text in re.findall(r"'((?:[^']|'')*)'", sql):
        parts = text.replace("\\", "/").split("/")
        if ".." in parts or text.startswith(("/", "\\")) or re.match(r"[A-Za-z]:[\\/]", text) or "://" in text:
            raise InputError(
                f"filter {shown(where)}: {shown(text)} is not relative to the album's folder of photos, as "
                "'holiday/beach.jpg' is"
            )
