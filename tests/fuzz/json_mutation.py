"""Mutations that keep a document JSON: bytes flipped at random rarely get past a JSON parser."""

from __future__ import annotations

import json
import random
from typing import Any

UNUSUAL: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, -(2**64), 10**400, 0.5, 1e308, float("nan"), float("-inf"), "", " ", "0",
    "1.0", "a" * 300,
    "\ud800", "\n", "\x1b[31m", "../a.jpg", "C:\\a.jpg", "/a.jpg", "358", [], {}, [[]], [None], [0, 0, 0, 0],
    [1, 2, 3], {"size": [4, 4], "counts": "358"}, {"size": [0, 0], "counts": [0]},
)  # fmt: skip


def mutated(document: Any, rng: random.Random) -> Any:
    """The document with one value replaced, removed, repeated or moved; the argument itself may be changed."""
    places = list(_places(document))
    if not places:
        return rng.choice(UNUSUAL)
    parent, key = rng.choice(places)
    action = rng.randrange(5)
    if action == 0:
        del parent[key]
    elif action == 1:
        other, name = rng.choice(places)
        parent[key] = json.loads(json.dumps(other[name]))
    elif action == 2 and isinstance(parent, list):
        parent.insert(rng.randrange(len(parent) + 1), json.loads(json.dumps(parent[key])))
    elif action == 3 and isinstance(parent, dict):
        parent[rng.choice([f"{key}s", *parent])] = parent.pop(key)
    else:
        parent[key] = rng.choice(UNUSUAL)
    return document


def mutated_bytes(data: bytes, largest: int, rng: random.Random) -> bytes | None:
    """One to three mutations of the JSON in `data`; None if it is not JSON or becomes longer than `largest` bytes."""
    try:
        document = json.loads(data)
        for _ in range(rng.randint(1, 3)):
            document = mutated(document, rng)
        content = json.dumps(document, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
    except (ValueError, RecursionError):
        return None
    return content if len(content) <= largest else None


def _places(value: Any) -> Any:
    """Every list or object of the document with every index or key that it has."""
    if isinstance(value, (list, dict)):
        for key in range(len(value)) if isinstance(value, list) else list(value):
            yield value, key
            yield from _places(value[key])
