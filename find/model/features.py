"""Encoded images, so that several queries about an image run the vision encoder once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from find.errors import InputError
from find.images.canvas import ImageGeometry, by_canvas
from find.interface import Embeddings, Group, ImageMemory, Interface
from find.model.config import FINDConfig
from find.tasks import generic


class EncodedBatch:
    """Images of one canvas that were encoded together.

    What only some queries need is computed on first use and cached. Only the batch that computed masks caches them.
    """

    def __init__(self, memory: ImageMemory, proposals: Embeddings | None = None) -> None:
        self.memory = memory
        self._proposals = proposals
        self._masks: Float[Tensor, "b n h w"] | None = None

    def proposals(self, interface: Interface) -> Embeddings:
        """Embeddings of the images and their object proposals, which do not depend on prompts."""
        if self._proposals is None:
            self._proposals = interface(self.memory, [generic.prompt()]).final
        return self._proposals

    def masks(self, interface: Interface) -> Float[Tensor, "b n h w"]:
        """The object proposals' mask logits."""
        if self._masks is None:
            pixel = self.proposals(interface).pixel[Group.OBJECT]
            self._masks = torch.einsum("bnm,bmhw->bnhw", pixel, self.memory.mask_features)
        return self._masks

    def project(self, interface: Interface) -> None:
        """Precomputes each layer's keys and values of the pixels, for many prompts."""
        if not self.memory.projected:
            self.memory = interface.project(self.memory)

    @property
    def device(self) -> torch.device:
        return self.memory.mask_features.device

    @property
    def nbytes(self) -> int:
        spaces = () if self._proposals is None else (self._proposals.semantic, self._proposals.pixel)
        kept = [x for space in spaces for x in space.values()] + ([] if self._masks is None else [self._masks])
        return self.memory.nbytes + sum(x.nbytes for x in kept)

    def rows(self, start: int, stop: int) -> EncodedBatch:
        """A batch of some of the images that shares their tensors; the batch itself for all of them."""
        if (start, stop) == (0, self.memory.batch):
            return self
        return EncodedBatch(self.memory.rows(start, stop), self._map(lambda x: x[start:stop]))

    def to(self, device: torch.device | str) -> EncodedBatch:
        return EncodedBatch(self.memory.to(device), self._map(lambda x: x.to(device)))

    @staticmethod
    def concatenate(parts: Sequence[EncodedBatch]) -> EncodedBatch:
        """Copies the images of several batches into one. Cached values that some batch lacks are dropped."""
        kept = [part._proposals for part in parts]
        proposals = None
        if all(one is not None for one in kept):
            semantic, pixel = (
                {group: torch.cat([getattr(one, space)[group] for one in kept]) for group in getattr(kept[0], space)}
                for space in ("semantic", "pixel")
            )
            proposals = Embeddings(semantic, pixel)
        memories = [part.memory for part in parts]
        if not all(memory.projected for memory in memories):
            memories = [memory.unprojected() for memory in memories]
        return EncodedBatch(ImageMemory.concatenate(memories), proposals)

    def _map(self, change: Callable[[Float[Tensor, "b n _"]], Tensor]) -> Embeddings | None:
        if self._proposals is None:
            return None
        semantic, pixel = (
            {group: change(x) for group, x in space.items()}
            for space in (self._proposals.semantic, self._proposals.pixel)
        )
        return Embeddings(semantic, pixel)


@dataclass(frozen=True, eq=False, repr=False)
class ImageFeatures:
    """Encoded images (`FIND.encode_images`), to be given to any method of that model in the images' place.

    `features[k]`, `features[2:5]` and `features[[0, 3]]` are features of some of the images; iterating gives those of
    one image after the other. They are valid as long as the model's weights do not change.

    Attributes:
        frames: how each image lies on its canvas.
        config: of the model that made them.
    """

    frames: tuple[ImageGeometry, ...]
    config: FINDConfig
    _batches: tuple[EncodedBatch, ...]
    _places: tuple[tuple[int, int], ...]  # of each image: number of its batch, and its row there
    _classes: dict[tuple[str, ...], Float[Tensor, "k d"]] = field(default_factory=dict)  # the last names asked for

    @classmethod
    def of(
        cls, frames: Sequence[ImageGeometry], config: FINDConfig, encoded: Iterator[tuple[list[int], EncodedBatch]]
    ) -> ImageFeatures:
        """From batches, each with the numbers of its images."""
        batches: list[EncodedBatch] = []
        places: dict[int, tuple[int, int]] = {}
        for numbers, batch in encoded:
            places |= {number: (len(batches), row) for row, number in enumerate(numbers)}
            batches.append(batch)
        return cls(tuple(frames), config, tuple(batches), tuple(places[number] for number in range(len(frames))))

    @staticmethod
    def concatenate(parts: Sequence[ImageFeatures]) -> ImageFeatures:
        """Joins features of one model on one device; tensors are shared, not copied."""
        if not parts:
            raise InputError("no features to concatenate")
        if any(part.config != parts[0].config for part in parts):
            raise InputError("features of models with different configs cannot be concatenated; encode the images anew")
        batches: list[EncodedBatch] = []
        places: list[tuple[int, int]] = []
        for part in parts:
            places += [(len(batches) + batch, row) for batch, row in part._places]
            batches += part._batches
        frames = tuple(frame for part in parts for frame in part.frames)
        return ImageFeatures(frames, parts[0].config, tuple(batches), tuple(places))

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, images: int | slice | Sequence[int]) -> ImageFeatures:
        """Features of some of the images, a copy if they are not all of those that were encoded together."""
        numbers = list(range(len(self)))
        if isinstance(images, (int, np.integer)):
            chosen = [numbers[images]]  # raises IndexError, by which iteration ends
        elif isinstance(images, slice):
            chosen = numbers[images]
        else:
            chosen = [numbers[number] for number in images]
        frames = [self.frames[number] for number in chosen]
        groups = by_canvas(frames, max(len(chosen), 1))
        encoded = ((group, self._gather([chosen[k] for k in group], copies=True)) for group in groups)
        return ImageFeatures.of(frames, self.config, encoded)

    def __repr__(self) -> str:
        device = f" on {self.device}" if self._batches else ""
        return f"ImageFeatures({len(self)} images{device}, {self.nbytes / 1e6:.0f} MB)"

    @property
    def device(self) -> torch.device | None:
        """Where they are; None of no images."""
        return self._batches[0].device if self._batches else None

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """Height and width of each image."""
        return tuple((frame.height, frame.width) for frame in self.frames)

    @property
    def nbytes(self) -> int:
        """Bytes on their device. They grow with the first query that needs more, and about double with the first one of
        words or strokes."""
        return sum(batch.nbytes for batch in self._batches)

    def to(self, device: torch.device | str) -> ImageFeatures:
        """The same on another device."""
        batches = tuple(batch.to(device) for batch in self._batches)
        return ImageFeatures(self.frames, self.config, batches, self._places)

    def cpu(self) -> ImageFeatures:
        """The same features in the host's memory."""
        return self.to("cpu")

    def check(self, config: FINDConfig, device: torch.device) -> None:
        """Raises FindError if a model of this config on this device cannot use them."""
        if self.config != config:
            raise InputError("these features are of a model with another config; encode the images with this one")
        if self.device not in (None, device):
            raise InputError(
                f"these features are on {self.device}, the model on {device}; give features.to({str(device)!r})"
            )

    def classes(
        self, names: Sequence[str], embed: Callable[[Sequence[str]], Float[Tensor, "k d"]]
    ) -> Float[Tensor, "k d"]:
        """The embeddings of class names; those of the previous call are cached."""
        key = tuple(names)
        if key not in self._classes:
            self._classes.clear()
            self._classes[key] = embed(names)
        return self._classes[key]

    def project(self, interface: Interface) -> None:
        """Precomputes each layer's keys and values of the pixels, for many prompts."""
        for batch in self._batches:
            batch.project(interface)

    def batches(self, batch_size: int) -> Iterator[tuple[list[int], EncodedBatch]]:
        """Batches of images that share a canvas, grouped as unencoded images would be, with their indices."""
        for numbers in by_canvas(self.frames, batch_size):
            yield numbers, self._gather(numbers, copies=False)

    def _gather(self, numbers: Sequence[int], *, copies: bool) -> EncodedBatch:
        """Images of one canvas as a batch; views of a larger one only if `share` allows it."""
        runs: list[list[int]] = []  # batch, first row, row behind the last
        for batch, row in (self._places[number] for number in numbers):
            if runs and runs[-1][0] == batch and runs[-1][2] == row:
                runs[-1][2] += 1
            else:
                runs.append([batch, row, row + 1])
        parts = [self._batches[batch].rows(start, stop) for batch, start, stop in runs]
        if len(parts) == 1 and (parts[0] in self._batches or not copies):
            return parts[0]
        return EncodedBatch.concatenate(parts)
