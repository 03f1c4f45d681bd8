"""Signatures that `help` shows on one line."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

Method = TypeVar("Method", bound=Callable[..., Any])


def short_signature(method: Method) -> Method:
    """Lets `help` show the names and defaults of a method's arguments on one line; types stay in the source."""
    signature = inspect.signature(method)
    bare = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in signature.parameters.values()]
    method.__signature__ = signature.replace(parameters=bare, return_annotation=inspect.Signature.empty)  # type: ignore[attr-defined]
    return method
