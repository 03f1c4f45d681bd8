"""Fixtures of the reference: reading them, and keeping account of what was compared and what was taken as given."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from find.integrations.official.convert import convert
from find.integrations.official.published import Unwritten
from find.model.model import FIND

TOLERANCE = 1e-4
"""Of forward tensors: max |difference| <= TOLERANCE x (1 + max |reference|)."""


@dataclass(frozen=True)
class Comparison:
    """One array: its worst error and the largest that is allowed (0: it must be identical)."""

    fixture: str
    array: str
    error: float
    allowed: float
    kind: str = "tensor"

    @property
    def good(self) -> bool:
        return self.error <= self.allowed

    def __str__(self) -> str:
        verdict = "ok" if self.good else "DIFFERS"
        return f"{self.fixture}: {self.array}: {self.error:.2e} (allowed {self.allowed:.2e}) {verdict}"


class Fixture:
    """The arrays of one file. Each is either given to the model or compared; `unread` names the others."""

    def __init__(self, file: Path) -> None:
        self.name = file.stem
        with np.load(file) as arrays:
            self.arrays: dict[str, np.ndarray] = {name: arrays[name] for name in arrays.files}
        self.given_names: set[str] = set()
        self.comparisons: dict[str, Comparison] = {}
        self.notes: list[str] = []  # what a reader of the result must know

    def __contains__(self, name: str) -> bool:
        return name in self.arrays

    def names(self, prefix: str) -> list[str]:
        return [name for name in self.arrays if name.startswith(prefix)]

    def given(self, name: str) -> Tensor:
        """An input of the original, to be an input of ours."""
        self.given_names.add(name)
        return torch.from_numpy(self.arrays[name])

    def check(self, name: str, ours: Tensor | np.ndarray, *, tolerance: float = TOLERANCE) -> None:
        """Compares floats within the tolerance."""
        wanted, got = self._pair(name, ours)
        error = float(np.abs(got - wanted).max(initial=0.0)) if got.shape == wanted.shape else float("inf")
        allowed = tolerance * (1 + float(np.abs(wanted).max(initial=0.0)))
        self._keep(name, error, allowed, "tensor")

    def same(self, name: str, ours: Tensor | np.ndarray) -> None:
        """Compares masks, indices, choices: the error is the number of places that differ."""
        wanted, got = self._pair(name, ours)
        error = float((got != wanted).sum()) if got.shape == wanted.shape else float("inf")
        self._keep(name, error, 0.0, "exact")

    @property
    def unread(self) -> list[str]:
        return sorted(self.arrays.keys() - self.given_names - self.comparisons.keys())

    def _pair(self, name: str, ours: Tensor | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        got = ours.detach().cpu().numpy() if isinstance(ours, Tensor) else np.asarray(ours)
        return self.arrays[name].astype(np.float64), got.astype(np.float64)

    def _keep(self, name: str, error: float, allowed: float, kind: str) -> None:
        error = float("inf") if np.isnan(error) else error
        before = self.comparisons.get(name)
        if before is None or before.error < error:
            self.comparisons[name] = Comparison(self.name, name, error, allowed, kind)


class Reference:
    """The folder of fixtures, and the model of its checkpoint, converted and read back as a user's would be.

    Args:
        folder: with `tiny/` inside.
    """

    def __init__(self, folder: Path) -> None:
        self.tiny = folder / "tiny"

    @cached_property
    def sizes(self) -> Mapping[str, Any]:
        return json.loads((self.tiny / "config.json").read_text())

    @cached_property
    def meta(self) -> Mapping[str, Any]:
        return json.loads((self.tiny / "meta.json").read_text())

    @property
    def unwritten(self) -> Unwritten:
        decoder, text = self.sizes["decoder"], self.sizes["text"]
        return Unwritten(
            heads=decoder["heads"], region_points=decoder["max_spatial_len"][0], feature_layer=text["feature_layer"]
        )

    @cached_property
    def class_words(self) -> list[str]:
        """Without the background, which is last."""
        start, end = "Describe the concept of ", "."
        return [p.removeprefix(start).removesuffix(end) for p in self.meta["class_prompts"][:-1]]

    @cached_property
    def model(self) -> FIND:
        with tempfile.TemporaryDirectory() as folder:
            convert(
                self.tiny / "model_state_dict.pt",
                Path(folder) / "model",
                llama=str(self.tiny / "llama"),
                unwritten=self.unwritten,
                class_names=self.class_words,
            )
            return FIND.from_pretrained(Path(folder) / "model")

    @cached_property
    def bank(self) -> Tensor:
        """Class embeddings without the background."""
        return self.model.embed_classes(self.class_words)

    @property
    def context(self) -> int:
        return self.sizes["text"]["context_length"]

    def fixture(self, name: str) -> Fixture:
        return Fixture(self.tiny / f"{name}.npz")
