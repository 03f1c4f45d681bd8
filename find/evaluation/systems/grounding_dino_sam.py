"""Grounding DINO finds the box of a text, SAM makes a mask of the box ("Grounded SAM", Ren et al., 2024)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from transformers import (
    AutoModelForZeroShotObjectDetection,
    AutoProcessor,
    PreTrainedModel,
    ProcessorMixin,
    SamModel,
    SamProcessor,
)

from find.errors import InputError
from find.evaluation.evaluate import Task
from find.evaluation.systems.common import pixels_of, segment_by_words
from find.foundations.source import Source
from find.images.images import ImageLike
from find.model.predictions import EntityMask
from find.query.query import Query


class GroundingDinoSam:
    """Grounding and interleaved segmentation: each text is prompted separately and gets the mask of its best box.

    The score is the box's. Text only: a region is prompted by the words that it replaced.
    """

    tasks = (Task.GROUNDING, Task.INTERLEAVED_SEGMENTATION)
    about = "Grounding DINO's best box, SAM's mask of it; regions are prompted by the words that they replaced"

    def __init__(
        self,
        detector: PreTrainedModel,
        detector_processor: ProcessorMixin,
        segmenter: SamModel,
        segmenter_processor: SamProcessor,
    ) -> None:
        self.detector = detector
        self.detector_processor = detector_processor
        self.segmenter = segmenter
        self.segmenter_processor = segmenter_processor

    def segment(self, images: Sequence[ImageLike], queries: Sequence[Query]) -> list[list[EntityMask]]:
        return segment_by_words(self, images, queries)

    @torch.inference_mode()
    def ground(self, images: Sequence[ImageLike], texts: Sequence[Sequence[str]]) -> list[list[EntityMask]]:
        answers = []
        for image, asked in zip(images, texts, strict=True):
            pixels = pixels_of(image)
            found = [self._best_box(pixels, text) for text in asked]
            masks = self._masks(pixels, torch.stack([box for box, _ in found])) if found else []
            answers.append([EntityMask(mask, score) for mask, (_, score) in zip(masks, found, strict=True)])
        return answers

    def _best_box(self, pixels: np.ndarray, text: str) -> tuple[Float[Tensor, 4], float]:
        """x0, y0, x1, y1 in pixels, inside the image, and its score."""
        prompt = text.lower().strip().rstrip(".") + "."  # the text format of its training
        inputs = self.detector_processor(images=pixels, text=prompt, return_tensors="pt", truncation=True)
        output = self.detector(**inputs.to(self.detector.device))
        best = output.logits[0].sigmoid().max(dim=-1).values
        number = int(best.argmax())
        x, y, width, height = output.pred_boxes[0, number].float().cpu()
        corners = torch.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2])
        size = torch.tensor([pixels.shape[1], pixels.shape[0]] * 2)
        return (corners * size).clamp(torch.zeros(4), size.float()), float(best[number])

    def _masks(self, pixels: np.ndarray, boxes: Float[Tensor, "n 4"]) -> Bool[np.ndarray, "n h w"]:
        inputs = self.segmenter_processor(images=pixels, input_boxes=[boxes.tolist()], return_tensors="pt")
        sizes, resized = inputs.pop("original_sizes"), inputs.pop("reshaped_input_sizes")
        inputs = {name: value.float().to(self.segmenter.device) for name, value in inputs.items()}
        output = self.segmenter(**inputs, multimask_output=False)
        masks = self.segmenter_processor.post_process_masks(output.pred_masks.cpu(), sizes, resized)
        return masks[0][:, 0].numpy()


def load_grounding_dino_sam(name: str, *, device: torch.device) -> GroundingDinoSam:
    """Loads DETECTOR+SEGMENTER, each a folder or a hub repository. Raises `FindError` for anything else."""
    spec = f"grounding-dino+sam:{name}"
    detector_name, plus, segmenter_name = name.partition("+")
    if not (detector_name and plus and segmenter_name):
        raise InputError(
            f"{spec}: name both models with a plus between them, for example "
            "grounding-dino+sam:IDEA-Research/grounding-dino-tiny+facebook/sam-vit-base"
        )
    source = Source.parse(detector_name, spec=spec)
    with source.reading("Grounding DINO"):
        detector = AutoModelForZeroShotObjectDetection.from_pretrained(source.name, revision=source.revision)
        detector_processor = AutoProcessor.from_pretrained(source.name, revision=source.revision)
    source = Source.parse(segmenter_name, spec=spec)
    with source.reading("SAM"):
        segmenter = SamModel.from_pretrained(source.name, revision=source.revision)
        segmenter_processor = SamProcessor.from_pretrained(source.name, revision=source.revision)
    return GroundingDinoSam(
        detector.to(device).eval(), detector_processor, segmenter.to(device).eval(), segmenter_processor
    )
