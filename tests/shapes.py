"""What jaxtyping's import hook checks in the tests: shapes and dtypes of arrays, of arguments, results and fields.

Other types are mypy's affair. A list is looked into at one random place (beartype), so checks cost the same for any.
"""

from collections.abc import Callable
from typing import Any, ForwardRef, get_args

from beartype import BeartypeConf, beartype
from jaxtyping import AbstractArray

_CONF = BeartypeConf(is_pep484_tower=True)  # an int may stand for a float


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function that jaxtyping has made of a signature, with those of its annotations checked that name shapes."""
    names = {name: hint for name, hint in function.__annotations__.items() if _has_shape(hint)}
    function.__annotations__ = names
    return beartype(conf=_CONF)(function) if names else function


def _has_shape(hint: object) -> bool:
    parts = list(_parts(hint))
    return any(isinstance(p, type) and issubclass(p, AbstractArray) for p in parts) and not any(
        isinstance(p, (str, ForwardRef))
        for p in parts  # a name that is there for type checkers only
    )


def _parts(hint: object) -> "list[object]":
    """A hint and all that it is made of."""
    if isinstance(hint, (list, tuple)):  # of a callable
        return [part for one in hint for part in _parts(one)]
    if isinstance(hint, type) and issubclass(hint, AbstractArray):
        return [hint]
    return [hint, *(part for one in get_args(hint) for part in _parts(one))]
