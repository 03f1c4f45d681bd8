"""Pictures of any size on their way into a vision encoder: resized, padded, and grouped by canvas."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from find.errors import FindError


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

    def fit(self, height: int, width: int) -> "Frame":
        """The frame of a picture of this size.

        Raises FindError for one that is too narrow to leave a pixel.
        """
        scale = min(self.shortest / min(height, width), self.longest / max(height, width))
        h, w = round(height * scale), round(width * scale)
        if min(h, w) < 4:
            raise FindError(
                f"a picture of {width}x{height} pixels is too narrow: at the model's size it would be {w}x{h}; crop it"
            )
        canvas = tuple(-(-side // self.divisor) * self.divisor for side in (h, w))
        return Frame(height, width, h, w, canvas, self.colour, self.bicubic)


@dataclass(frozen=True)
class Frame:
    """Where a picture of height x width lies: resized to inner_height x inner_width, top left on the canvas."""

    height: int
    width: int
    inner_height: int
    inner_width: int
    canvas: tuple[int, int]
    colour: tuple[float, float, float] | None = None
    bicubic: bool = False

    def place(self, image: UInt8[np.ndarray, "H W 3"]) -> UInt8[Tensor, "3 h w"] | Float[Tensor, "3 h w"]:
        """The picture on its canvas, as bytes on a black one, as floats on a coloured one."""
        pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)
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
            raise FindError(
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
        full = F.interpolate(logits[None].float(), self.canvas, mode="bilinear", align_corners=False)
        inner = full[..., : self.inner_height, : self.inner_width]
        if (self.inner_height, self.inner_width) == (self.height, self.width):
            return inner[0]
        mode = "bicubic" if self.bicubic else "bilinear"
        size = (self.height, self.width)
        return F.interpolate(inner, size, mode=mode, antialias=self.bicubic, align_corners=False)[0]

    def _pad(self, pixels: Tensor) -> Tensor:
        return F.pad(pixels, (0, self.canvas[1] - self.inner_width, 0, self.canvas[0] - self.inner_height))


def by_canvas(frames: Sequence[Frame], batch_size: int) -> Iterator[list[int]]:
    """Numbers of pictures that fill the same canvas, at most `batch_size` at a time.

    Pictures are never padded to each other's size, so an answer does not depend on what else is asked.
    """
    groups: dict[tuple[int, int], list[int]] = {}
    for number, frame in enumerate(frames):
        groups.setdefault(frame.canvas, []).append(number)
    for numbers in groups.values():
        for start in range(0, len(numbers), batch_size):
            yield numbers[start : start + batch_size]
