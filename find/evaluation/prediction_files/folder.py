"""A split whose pictures carry their image ids, so that predictions can be looked up by image."""

from __future__ import annotations

import numpy as np

from find.data.coco import CocoFolder
from find.errors import DataError


class NamedImage(np.ndarray):
    """A uint8 RGB [H, W, 3] array that carries its image id."""

    image_id: int | None

    def __array_finalize__(self, other: object) -> None:
        self.image_id = getattr(other, "image_id", None)


class NamedFolder(CocoFolder):
    """A split that returns `NamedImage`s."""

    def image_at(self, position: int) -> np.ndarray:
        return _named(self.pixels_at(position), self.image_ids[position])

    def pixels_at(self, position: int) -> np.ndarray:
        """uint8 RGB [H, W, 3] of the picture."""
        return super().image_at(position)


class BlankFolder(NamedFolder):
    """A split whose pictures are blank but have the right size: enough to score existing predictions."""

    def pixels_at(self, position: int) -> np.ndarray:
        height, width = self.image_size(self.image_ids[position])
        return np.broadcast_to(np.uint8(0), (height, width, 3))


def id_of(image: object) -> int:
    """The id of a picture of a `NamedFolder`. Raises `FindError` for any other picture."""
    image_id = getattr(image, "image_id", None)
    if image_id is None:
        raise DataError("this picture has no id: predictions can be recorded for images of a NamedFolder only")
    return image_id


def _named(pixels: np.ndarray, image_id: int) -> NamedImage:
    named = pixels.view(NamedImage)
    named.image_id = image_id
    return named
