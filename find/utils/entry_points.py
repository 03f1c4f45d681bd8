"""What installed packages add to FIND, found through entry points; our own parts are declared the same way."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from find.errors import FindError, InputError


@cache
def declared(group: str) -> dict[str, EntryPoint]:
    """Entry points of a group by name. Raises FindError where two packages declare the same name."""
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=group):
        other = found.setdefault(point.name, point)
        if other.value != point.value:
            packages = " and ".join(p.dist.name if p.dist else p.value for p in (other, point))
            raise FindError(f"two packages declare {point.name!r} in {group}: {packages}; uninstall one of them")
    return found


def load_named(name: str, group: str, kind: str) -> Any:
    """What a name of the group stands for, or a class path such as `mypackage.module.Class`.

    Args:
        kind: what the name refers to, for messages.

    Raises:
        InputError: no installed package declares the name, or it cannot be imported.
    """
    point = declared(group).get(name)
    if point is None and "." not in name:
        names = ", ".join(sorted(declared(group))) or "none: install findvl again"
        raise InputError(f"there is no {kind} {name!r}; there are {names}; or give a class path, package.module.Class")
    try:
        if point is not None:
            return point.load()
        module, _, member = name.rpartition(".")
        return getattr(import_module(module), member)
    except (ImportError, AttributeError, ValueError) as error:
        where = name if point is None else point.value
        raise InputError(f"{kind} {name!r}: {where} cannot be imported: {error}") from error
