"""From pictures to features: resizing, the frozen vision encoder and the interface's pixel decoder."""

import os
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import UInt8

from find.errors import InputError
from find.foundations import LanguageEncoder, VisionEncoder
from find.images.canvas import ImageGeometry, Resizing, by_canvas
from find.images.images import ImageLike, read_image, read_size
from find.interface import ImageMemory, Interface, PairTerm
from find.model.config import FINDConfig
from find.model.feature_cache import FeatureCache
from find.model.features import EncodedBatch, ImageFeatures
from find.model.pretrained import Pretrained
from find.model.validation import check_images
from find.tasks.task import Task
from find.utils.memory import halving
from find.utils.transfer import upload


class ImageEncoding(Pretrained):
    """The part of a model that encodes pictures, before any query.

    Attributes:
        feature_cache: cache of the most recent pictures, those of queries' regions included, if one is set.
    """

    def __init__(
        self,
        *,
        config: FINDConfig,
        vision: VisionEncoder,
        language: LanguageEncoder,
        interface: Interface,
        tasks: Sequence[Task] = (),
    ) -> None:
        super().__init__(config=config, vision=vision, language=language, interface=interface, tasks=tasks)
        conventions = config.conventions
        self.resizing = Resizing(
            config.shortest_side,
            config.longest_side,
            vision.divisor,
            colour=conventions.canvas_colour,
            bicubic=conventions.bicubic_masks,
        )
        self.feature_cache: FeatureCache | None = None

    @property
    def pair_term(self) -> PairTerm | None:
        """Scores the words between entities for pairs of objects; None if the model has no pair term."""
        return self.interface.pair_term

    @halving
    @torch.inference_mode()
    def encode_images(self, images: Sequence[ImageLike], *, batch_size: int = 16) -> ImageFeatures:
        """Encodes images once, for all methods that take images: they take the result instead. Predictions are the
        same; each further click or query costs a small part of the first."""
        check_images(images)
        frames = self._frames(images)
        return ImageFeatures.of(frames, self.config, self._encode(images, frames, batch_size))

    def _frames(self, images: Sequence[ImageLike]) -> list[ImageGeometry]:
        return [self._frame(image) for image in images]

    def _frame(self, image: ImageLike) -> ImageGeometry:
        height, width = read_size(image)
        try:
            return self.resizing.fit(height, width)
        except InputError as error:
            if isinstance(image, (str, os.PathLike)):
                raise InputError(f"{os.fspath(image)}: {error}") from error
            raise

    def _encode(
        self, images: Sequence[ImageLike], frames: Sequence[ImageGeometry], batch_size: int
    ) -> Iterator[tuple[list[int], EncodedBatch]]:
        """Pictures that share a canvas, with their numbers."""
        for numbers in by_canvas(frames, batch_size):
            pictures, own = [read_image(images[number]) for number in numbers], [frames[number] for number in numbers]
            if self.feature_cache is None:
                yield numbers, self._encode_batch(pictures, own)
            else:
                yield numbers, self.feature_cache.encode(pictures, own, self.device, self._encode_batch)

    def _encode_batch(
        self, pictures: Sequence[UInt8[np.ndarray, "_ _ 3"]], frames: Sequence[ImageGeometry]
    ) -> EncodedBatch:
        canvases = torch.stack([frame.place(picture) for picture, frame in zip(pictures, frames, strict=True)])
        features = self.vision(upload(canvases, self.device)).to(self.device)
        return EncodedBatch(self.interface.encode_image(features.maps, features.pooled, features.aligned))

    def _encoded(
        self, images: Sequence[ImageLike] | ImageFeatures, batch_size: int
    ) -> tuple[list[ImageGeometry], Iterator[tuple[list[int], EncodedBatch]]]:
        """The images' geometry, and their batches with indices, encoded here or before."""
        check_images(images)
        if isinstance(images, ImageFeatures):
            images.check(self.config, self.device)
            return list(images.frames), images.batches(batch_size)
        frames = self._frames(images)
        return frames, self._encode(images, frames, batch_size)

    def prompted(
        self, images: Sequence[ImageLike] | ImageFeatures, batch_size: int
    ) -> tuple[list[ImageGeometry], Iterator[tuple[list[int], ImageMemory]]]:
        """The geometry of images for prompts, and their memories a batch at a time, with the images' indices.

        Images that share a canvas share a batch; images given as features are prepared for many prompts."""
        frames, encoded = self.ready(images, batch_size)
        return frames, ((numbers, batch.memory) for numbers, batch in encoded)

    def ready(
        self, images: Sequence[ImageLike] | ImageFeatures, batch_size: int
    ) -> tuple[list[ImageGeometry], Iterator[tuple[list[int], EncodedBatch]]]:
        """As `prompted`, with the whole batches, which also have object proposals."""
        frames, encoded = self._encoded(images, batch_size)
        if isinstance(images, ImageFeatures):
            images.project(self.interface)
        return frames, ((numbers, self._ready(batch)) for numbers, batch in encoded)

    def _ready(self, batch: EncodedBatch) -> EncodedBatch:
        if self.feature_cache is not None:
            batch.project(self.interface)
        return batch
