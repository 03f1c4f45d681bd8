"""Public names explain themselves: each has a docstring, and arrays and tensors in signatures have their shapes."""

import dataclasses
import enum
import inspect
import re
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import pytest

import find

PACKAGES = ("find", "find.foundations", "find.interface", "find.tasks")
ARRAY = re.compile(r"\b(?:Tensor|ndarray)\b(?!, *[\"'])")
"""A tensor or array that is not the first argument of a jaxtyping annotation, such as Float[Tensor, "b d"]."""
ANY_SHAPE = re.compile(r"(?i)(?:dict|mapping)\[str, (?:torch\.)?Tensor\]|Callable\[|PIL|Sequence\[Tensor\]")
"""State dicts, functions of tensors, lists of scalars; and images, whose forms `FIND` describes."""
SHAPE = re.compile(r"\[[a-zA-Z0-9]+(?:, ?[a-zA-Z0-9]+)*\]")
"""A shape in prose, such as [H, W, 3]."""


def _public() -> Iterator[tuple[str, Any]]:
    for package in PACKAGES:
        module = import_module(package)
        for name in module.__all__:
            yield f"{package}.{name}", getattr(module, name)


def _functions(name: str, item: Any) -> Iterator[tuple[str, Callable[..., Any]]]:
    """The item if it is a function, else the public methods that FIND's own classes define for it."""
    if inspect.isfunction(item):
        yield name, item
    if inspect.isclass(item) and not issubclass(item, enum.Enum):
        for base in item.__mro__:
            if not base.__module__.startswith("find."):
                continue
            for member, value in vars(base).items():
                function = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
                if inspect.isfunction(function) and not member.startswith("_"):
                    yield f"{name}.{member}", getattr(item, member) if isinstance(value, classmethod) else function


PUBLIC = dict(_public())
FUNCTIONS = {name: function for public, item in PUBLIC.items() for name, function in _functions(public, item)}


def _bare_arrays(annotations: dict[str, Any]) -> list[str]:
    texts = {name: v if isinstance(v, str) else inspect.formatannotation(v) for name, v in annotations.items()}
    return [name for name, text in texts.items() if ARRAY.search(text) and not ANY_SHAPE.search(text)]


def test_the_pattern_of_arrays_finds_those_without_shapes():
    shaped = {"a": 'Float[Tensor, "b d"]', "b": 'list[Bool[np.ndarray, "h w"]]', "c": "int"}
    assert _bare_arrays(shaped) == []
    assert _bare_arrays({"a": "Tensor", "b": "list[Tensor] | None", "c": "np.ndarray"}) == ["a", "b", "c"]


def test_every_public_class_and_function_says_what_it_is():
    classes_and_functions = {n: i for n, i in PUBLIC.items() if inspect.isclass(i) or inspect.isfunction(i)}
    assert len(classes_and_functions) > 80
    generated = [n for n, i in classes_and_functions.items() if (i.__doc__ or "").startswith(f"{i.__name__}(")]
    missing = [n for n, i in classes_and_functions.items() if len((i.__doc__ or "").split()) < 4]
    assert (generated, missing) == ([], [])  # dataclasses without a docstring get their signature


def test_every_public_method_says_what_it_does():
    assert len(FUNCTIONS) > 200
    assert [name for name, function in FUNCTIONS.items() if len((inspect.getdoc(function) or "").split()) < 3] == []


@pytest.mark.parametrize("kind", ["functions", "fields"])
def test_arrays_have_shapes_in_the_signature_or_the_docstring(kind):
    if kind == "functions":
        items = {name: (function.__annotations__, inspect.getdoc(function)) for name, function in FUNCTIONS.items()}
    else:
        items = {
            name: ({field.name: field.type for field in dataclasses.fields(item)}, item.__doc__)
            for name, item in PUBLIC.items()
            if inspect.isclass(item) and dataclasses.is_dataclass(item)
        }
    bare = {name: found for name, (annotations, doc) in items.items() if not SHAPE.search(doc or "")
            for found in [_bare_arrays(annotations)] if found}  # fmt: skip
    assert bare == {}


def test_help_of_the_package_lists_what_it_exports():
    assert set(find.__all__) <= set(dir(find))
