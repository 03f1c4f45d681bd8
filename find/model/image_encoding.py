"""From pictures to features: resized, encoded by the frozen vision encoder, remembered by the interface."""

from collections.abc import Iterator, Sequence

import torch

from find.foundations import LanguageEncoder, VisionEncoder
from find.images.canvas import Frame, Resizing, by_canvas
from find.images.images import ImageLike, read_image, read_size
from find.interface import ImageMemory, Interface
from find.model.config import FINDConfig
from find.model.features import EncodedBatch, ImageFeatures
from find.model.pretrained import Pretrained
from find.model.validation import check_images
from find.utils.memory import halving
from find.utils.transfer import upload


class ImageEncoding(Pretrained):
    """What a model does with pictures before anything is asked of them."""

    def __init__(
        self, *, config: FINDConfig, vision: VisionEncoder, language: LanguageEncoder, interface: Interface
    ) -> None:
        super().__init__(config=config, vision=vision, language=language, interface=interface)
        conventions = config.conventions
        self.resizing = Resizing(
            config.shortest_side,
            config.longest_side,
            vision.divisor,
            colour=conventions.canvas_colour,
            bicubic=conventions.bicubic_masks,
        )

    @halving
    @torch.inference_mode()
    def encode_images(self, images: Sequence[ImageLike], *, batch_size: int = 16) -> ImageFeatures:
        """All that is computed of images before anything is asked of them, to be given to the other methods in their
        place. Answers are the same; a further click or query costs a small part of the first."""
        check_images(images)
        frames = self._frames(images)
        return ImageFeatures.of(frames, self.config, self._encode(images, frames, batch_size))

    def _frames(self, images: Sequence[ImageLike]) -> list[Frame]:
        return [self.resizing.fit(*read_size(image)) for image in images]

    def _encode(
        self, images: Sequence[ImageLike], frames: Sequence[Frame], batch_size: int
    ) -> Iterator[tuple[list[int], EncodedBatch]]:
        """Pictures that share a canvas, with their numbers."""
        for numbers in by_canvas(frames, batch_size):
            canvases = torch.stack([frames[number].place(read_image(images[number])) for number in numbers])
            features = self.vision(upload(canvases, self.device))
            yield numbers, EncodedBatch(self.interface.remember(features.maps, features.pooled, features.aligned))

    def _encoded(
        self, images: Sequence[ImageLike] | ImageFeatures, batch_size: int
    ) -> tuple[list[Frame], Iterator[tuple[list[int], EncodedBatch]]]:
        """The frames of what is asked about, and its batches, encoded as they come or before."""
        check_images(images)
        if isinstance(images, ImageFeatures):
            images.check(self.config, self.device)
            return list(images.frames), images.batches(batch_size)
        frames = self._frames(images)
        return frames, self._encode(images, frames, batch_size)

    def _prompted(
        self, images: Sequence[ImageLike] | ImageFeatures, batch_size: int
    ) -> tuple[list[Frame], Iterator[tuple[list[int], ImageMemory]]]:
        """The same for prompts, of which features may get more."""
        frames, encoded = self._encoded(images, batch_size)
        if isinstance(images, ImageFeatures):
            images.project(self.interface)
        return frames, ((numbers, batch.memory) for numbers, batch in encoded)
