"""A model of colours: every vector is a mean colour, so answers are known."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import normalize

from find.errors import FindError
from find.images.canvas import Resizing
from find.images.images import read_image
from find.model.predictions import ImageEmbeddings, QueryEmbeddings
from find.query.entity import Phrase, Region

COLORS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "grey": (90, 90, 90)}


class ColorModel:
    """Image vector: the mean colour. Objects: the left and the right half, with their mean colours."""

    def __init__(self, fingerprint: str = "colours-1") -> None:
        self.fingerprint = fingerprint
        self.embedded = 0

    def embed_images(self, images: Sequence[np.ndarray]) -> ImageEmbeddings:
        if any(min(image.shape[:2]) < 4 for image in images):
            raise FindError("an image is smaller than 4 pixels")
        self.embedded += len(images)
        whole, halves, masks, frames = [], [], [], []
        for image in images:
            pixels = torch.from_numpy(np.array(image)).float()
            middle = pixels.shape[1] // 2
            whole.append(pixels.mean((0, 1)))
            halves.append(torch.stack([pixels[:, :middle].mean((0, 1)), pixels[:, middle:].mean((0, 1))]))
            frames.append(Resizing(shortest=32, longest=64, divisor=8).fit(*image.shape[:2]))
            height, width = (side // 4 for side in frames[-1].canvas)
            left = torch.arange(width) < frames[-1].inner_width / 8
            masks.append(torch.where(torch.stack([left, ~left])[:, None].expand(-1, height, -1), 9.0, -9.0).half())
        return ImageEmbeddings(
            image=normalize(torch.stack(whole) + 1e-3, dim=-1),
            objects=normalize(torch.stack(halves) + 1e-3, dim=-1),
            scores=torch.tensor([[0.9, 0.8]]).expand(len(images), 2),
            masks=tuple(masks),
            frames=tuple(frames),
        )

    def embed_queries(self, queries) -> QueryEmbeddings:
        most = max(len(query.entities) for query in queries)
        entities, padding = torch.zeros(len(queries), most, 3), torch.ones(len(queries), most, dtype=torch.bool)
        vectors = torch.zeros(len(queries), 3)
        for row, query in enumerate(queries):
            for column, entity in enumerate(query.entities):
                entities[row, column] = _color(entity)
                padding[row, column] = False
            words = [word for word in query.text.split() if word in COLORS]
            vectors[row] = torch.tensor([COLORS[word] for word in words], dtype=torch.float32).sum(0)
        return QueryEmbeddings(normalize(vectors, dim=-1), normalize(entities, dim=-1), padding, ((),) * len(queries))


def paint(path: Path, left: str, right: str, size: tuple[int, int] = (8, 6)) -> Path:
    """Writes an image of two colours."""
    image = Image.new("RGB", size, COLORS[left])
    image.paste(COLORS[right], (size[0] // 2, 0, *size))
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return path


def _color(entity: Phrase | Region) -> torch.Tensor:
    if isinstance(entity, Phrase):
        return torch.tensor(COLORS[entity.text], dtype=torch.float32)
    return torch.from_numpy(read_image(entity.image)[entity.bitmap()]).float().mean(0)
