"""Pictures of any size on their way into a vision encoder: resized, padded, and grouped by canvas."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from find.errors import InputError

DRAWN, WIDENED = 2**22, 2**26
"""How many numbers are drawn at a time of masks at the picture's own size, and on the way there."""
NARROWEST = 16
"""Columns of a strip: narrower ones are slow to resize."""


@dataclass(frozen=True)
class Resizing:
    """How large a picture enters the vision encoder.

    Args:
        shortest: the shorter side becomes so many pixels ...
        longest: ... unless the longer one would exceed this.
        divisor: both sides of the canvas are multiples of it; the picture lies top left.
        colour: RGB in 0..255 elsewhere on the canvas; None is black.
        bicubic: mask logits come back to the picture's size by antialiased bicubic instead of bilinear resizing.
    """

    shortest: int
    longest: int
    divisor: int
    colour: tuple[float, float, float] | None = None
    bicubic: bool = False

    def fit(self, height: int, width: int) -> "ImageGeometry":
        """The frame of a picture of this size.

        Raises FindError for one that is too narrow to leave a pixel.
        """
        scale = min(self.shortest / min(height, width), self.longest / max(height, width))
        h, w = round(height * scale), round(width * scale)
        if min(h, w) < 4:
            raise InputError(
                f"a picture of {width}x{height} pixels is too narrow: at the model's size it would be {w}x{h}; crop it"
            )
        canvas = tuple(-(-side // self.divisor) * self.divisor for side in (h, w))
        return ImageGeometry(height, width, h, w, canvas, self.colour, self.bicubic)


@dataclass(frozen=True)
class ImageGeometry:
    """Where a picture of height x width lies: resized to inner_height x inner_width, top left on the canvas."""

    height: int
    width: int
    inner_height: int
    inner_width: int
    canvas: tuple[int, int]
    colour: tuple[float, float, float] | None = None
    bicubic: bool = False

    @property
    def extent(self) -> tuple[float, float]:
        """Which share of the canvas's width and height the picture has."""
        return self.inner_width / self.canvas[1], self.inner_height / self.canvas[0]

    def place(self, image: UInt8[np.ndarray, "H W 3"]) -> UInt8[Tensor, "3 h w"] | Float[Tensor, "3 h w"]:
        """The picture on its canvas, as bytes on a black one, as floats on a coloured one."""
        pixels = torch.from_numpy(np.require(image, requirements="CW")).permute(2, 0, 1)
        if (self.inner_height, self.inner_width) != (self.height, self.width):
            size = (self.inner_height, self.inner_width)
            resized = F.interpolate(pixels[None].float(), size, mode="bilinear", antialias=True, align_corners=False)
            pixels = resized[0].round().clamp(0, 255).to(torch.uint8)
        if self.colour is None:
            return self._pad(pixels)
        canvas = torch.tensor(self.colour).view(3, 1, 1).repeat(1, *self.canvas)
        canvas[:, : self.inner_height, : self.inner_width] = pixels
        return canvas

    def place_mask(self, mask: Bool[np.ndarray, "H W"]) -> Bool[Tensor, "h w"]:
        """A region's mask on the canvas; small regions survive: a pixel is set if any pixel that it covers is."""
        if mask.shape != (self.height, self.width):
            raise InputError(
                f"a mask of {mask.shape[1]}x{mask.shape[0]} pixels for a picture of {self.width}x{self.height}; "
                "masks must have their picture's size"
            )
        pixels = torch.from_numpy(np.ascontiguousarray(mask))
        if (self.inner_height, self.inner_width) != (self.height, self.width):
            size = (self.inner_height, self.inner_width)
            pixels = F.adaptive_max_pool2d(pixels[None, None].float(), size)[0, 0] > 0
        return self._pad(pixels)

    def crop(self, logits: Float[Tensor, "n h w"]) -> Float[Tensor, "n H W"]:
        """Mask logits of the canvas (at any stride), at the picture's own size."""
        if len(logits) == 0:
            return logits.new_zeros(0, self.height, self.width, dtype=torch.float)
        inner = self._inner(logits)
        if (self.inner_height, self.inner_width) == (self.height, self.width):
            return inner
        return self._resize(inner, self.height, self.width)

    def parts(self, logits: Float[Tensor, "n h w"]) -> Iterator[Float[Tensor, "_ H W"]]:
        """What `crop` gives, a few masks at a time; of no masks one empty part."""
        for few in logits.split(self._few):
            yield self.crop(few)

    def strips(self, logits: Float[Tensor, "n h w"]) -> Iterator[tuple[slice, Float[Tensor, "n H _"]]]:
        """What `crop` gives, up to rounding, a few columns of all masks at a time, and which columns these are."""
        columns = max(NARROWEST, DRAWN // max(len(logits) * self.height, 1))
        if self.height <= self.inner_height or len(logits) == 0:  # no larger than the canvas on which all lie anyway
            full = self.crop(logits)
            yield from ((strip, full[..., strip]) for strip in _evenly(0, self.width, columns))
            return
        # Resizing is separable: each mask to the picture's width, a block of columns of all masks to its height.
        inner = self._inner(logits)
        for block in _evenly(0, self.width, max(columns, WIDENED // (len(logits) * self.inner_height))):
            widened = (self._resize(few, self.inner_height, self.width) for few in inner.split(self._few))
            wide = torch.cat([few[..., block] for few in widened])
            for strip in _evenly(block.start, block.stop, columns):
                narrow = wide[..., strip.start - block.start : strip.stop - block.start]
                yield strip, self._resize(narrow, self.height, narrow.shape[-1])

    def inside(self, logits: Float[Tensor, "n h w"]) -> Bool[Tensor, "n H W"]:
        """Where `crop` is positive."""
        inside = torch.empty(len(logits), self.height, self.width, dtype=torch.bool, device=logits.device)
        for few, part in zip(inside.split(self._few), self.parts(logits), strict=True):
            torch.gt(part, 0, out=few)
        return inside

    @property
    def _few(self) -> int:
        """Masks drawn at a time."""
        return max(1, DRAWN // (self.height * self.width))

    def _inner(self, logits: Float[Tensor, "n h w"]) -> Float[Tensor, "n _ _"]:
        """Logits of the picture as it lies on the canvas."""
        full = F.interpolate(logits[None].float(), self.canvas, mode="bilinear", align_corners=False)[0]
        return full[..., : self.inner_height, : self.inner_width]

    def _resize(self, logits: Float[Tensor, "n _ _"], height: int, width: int) -> Float[Tensor, "n _ _"]:
        mode = "bicubic" if self.bicubic else "bilinear"
        size = (height, width)
        return F.interpolate(logits[None], size, mode=mode, antialias=self.bicubic, align_corners=False)[0]

    def _pad(self, pixels: Tensor) -> Tensor:
        return F.pad(pixels, (0, self.canvas[1] - self.inner_width, 0, self.canvas[0] - self.inner_height))


def _evenly(start: int, stop: int, most: int) -> Iterator[slice]:
    """Parts of at most so many, as even as can be: no single column is left over, which torch's antialiased resizing
    gets wrong (2.15: a column of one value)."""
    count = -(-(stop - start) // most)
    edges = [start + (stop - start) * k // count for k in range(count + 1)]
    yield from map(slice, edges[:-1], edges[1:])


def by_canvas(frames: Sequence[ImageGeometry], batch_size: int) -> Iterator[list[int]]:
    """Numbers of pictures that fill the same canvas, at most `batch_size` at a time.

    Pictures are never padded to each other's size, so results do not depend on the rest of the batch.
    """
    groups: dict[tuple[int, int], list[int]] = {}
    for number, frame in enumerate(frames):
        groups.setdefault(frame.canvas, []).append(number)
    for numbers in groups.values():
        for start in range(0, len(numbers), batch_size):
            yield numbers[start : start + batch_size]
