"""Every public method on the device: nothing mixed, the CPU's answers, and how often the host waits for a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import pytest
import torch
from pretended import back, counted

from find.model.model import FIND
from find.query.entity import Phrase, Region
from find.query.query import Query

NAMES, THINGS = ["dog", "cat", "sky", "grass"], [True, True, False, False]
Pictures = list[np.ndarray]


def strokes(picture: np.ndarray, count: int, *, down: int = 0) -> np.ndarray:
    drawn = np.zeros((count, *picture.shape[:2]), bool)
    for k in range(count):
        drawn[k, 10 * k + 3 + down : 10 * k + 9 + down, 20:40] = True
    return drawn


def queries(pictures: Pictures) -> list[Query]:
    """Of one or two entities, with a region of the first picture."""
    region = Region(pictures[0], mask=strokes(pictures[0], 1)[0])
    mixed = [Query("a ", region, " next to ", Phrase("a red sofa")), Query("the ", Phrase("dog"))]
    return [mixed[k % 2] for k in range(len(pictures))]


ASKED: dict[str, tuple[int, Callable[[FIND, Pictures], Any]]] = {
    "encode_images": (0, lambda m, p: m.encode_images(p).frames),
    "embed_images": (0, lambda m, p: m.embed_images(p)),
    "embed_images without masks": (0, lambda m, p: m.embed_images(p, masks=False)),
    "embed_texts": (0, lambda m, p: m.embed_texts(["a dog", "a red cat"])),
    "embed_classes": (0, lambda m, p: m.embed_classes(NAMES)),
    "embed_queries": (0, lambda m, p: m.embed_queries(queries(p))),
    "segment": (1, lambda m, p: m.segment(p, queries(p))),
    "ground": (1, lambda m, p: m.ground(p, [["dog", "cat"][: 1 + k % 2] for k in range(len(p))])),
    "interact": (1, lambda m, p: m.interact(p, [strokes(one, 2) for one in p])),
    "interact with negatives": (
        1,
        lambda m, p: m.interact(p, [strokes(one, 2) for one in p], [strokes(one, 2, down=30) for one in p]),
    ),
    "panoptic": (2, lambda m, p: m.panoptic(p, NAMES, THINGS)),
    "instances": (2, lambda m, p: m.instances(p, NAMES, THINGS)),
    "semantic": (1, lambda m, p: m.semantic(p, NAMES)),
    "segment, of features": (1, lambda m, p: m.segment(m.encode_images(p), queries(p))),
    "interact, of features of some images": (
        1,
        lambda m, p: m.interact(m.encode_images([*p, *p])[len(p) :], [strokes(one, 2) for one in p]),
    ),
    "panoptic, of features": (2, lambda m, p: m.panoptic(m.encode_images(p), NAMES, THINGS)),
}


@pytest.mark.filterwarnings("ignore::find.errors.UnknownWordsWarning")
@pytest.mark.parametrize("name", ASKED)
def test_answers_are_the_cpus_and_a_batch_waits_seldom(name, on_cpu, there, pictures):
    most, ask = ASKED[name]
    one_batch = pictures[:3]
    expected = ask(on_cpu, one_batch)
    with counted() as waits:
        found = ask(there, one_batch)
    assert len(waits) <= most and not waits.uploads, f"\n{waits}"
    assert_same(found, expected)


@pytest.mark.filterwarnings("ignore::find.errors.UnknownWordsWarning")
@pytest.mark.parametrize("name", ["segment", "interact", "panoptic", "instances", "semantic"])
def test_features_and_pictures_of_several_sizes_too(name, on_cpu, there, pictures):
    """What was encoded before is asked; each canvas is a batch."""
    most, ask = ASKED[name]
    expected = ask(on_cpu, pictures)
    with counted() as waits:
        found = ask(there, pictures)
    assert len(waits) <= 2 * most and not waits.uploads, f"\n{waits}"
    assert_same(found, expected)


@pytest.mark.filterwarnings("ignore::find.errors.UnknownWordsWarning")
def test_features_are_asked_there(on_cpu, there, pictures):
    features = there.encode_images(pictures)
    asked, drawn = queries(pictures), [strokes(one, 1) for one in pictures]
    assert_same(there.segment(features, asked), on_cpu.segment(pictures, asked))
    assert_same(there.interact(features[1:], drawn[1:]), on_cpu.interact(pictures[1:], drawn[1:]))
    assert_same(there.panoptic(features, NAMES, THINGS), on_cpu.panoptic(pictures, NAMES, THINGS))


def test_masks_of_gigabytes_are_copied_in_parts(monkeypatch, on_cpu, there, pictures):
    monkeypatch.setattr("find.utils.transfer.to_host_together.__kwdefaults__", {"limit": 1})
    expected = on_cpu.instances(pictures[:3], NAMES, THINGS)
    with counted() as waits:
        found = there.instances(pictures[:3], NAMES, THINGS)
    assert len(waits) == 4
    assert_same(found, expected)


def assert_same(found: Any, expected: Any) -> None:
    """Numbers up to rounding, masks but for a few pixels on their borders."""
    found = back(found) if isinstance(found, torch.Tensor) else found
    if isinstance(expected, torch.Tensor | np.ndarray):
        found, expected = (torch.as_tensor(x) for x in (found, expected))
        assert found.shape == expected.shape and found.dtype == expected.dtype
        if expected.dtype in (torch.bool, torch.int32, torch.int64):
            assert (found == expected).float().mean() > 0.999 or expected.numel() == 0
        else:
            tolerance = {"rtol": 1e-2, "atol": 2e-2} if expected.dtype == torch.half else {"rtol": 1e-4, "atol": 1e-5}
            torch.testing.assert_close(found, expected, **tolerance)
    elif is_dataclass(expected):
        for field in fields(expected):
            if not isinstance(getattr(expected, field.name), torch.nn.Module):
                assert_same(getattr(found, field.name), getattr(expected, field.name))
    elif isinstance(expected, Sequence) and not isinstance(expected, str):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, abs=1e-4)
    else:
        assert found == expected
