"""SAM 3 of transformers: all instances of a concept that a short text names."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from transformers import Sam3Model, Sam3Processor

from find.evaluation.evaluate import Task
from find.evaluation.systems.common import pixels_of, segment_by_words
from find.foundations.source import Source
from find.images.images import ImageLike
from find.model.predictions import EntityMask
from find.query.query import Query

THRESHOLD = 0.5
"""Minimum score of instances in the result; if none reaches it, the best one is taken."""


class Sam3:
    """Grounding and interleaved segmentation: the union of the instances found for a text, each text separately.

    The score is that of the best instance. Text only: a region is prompted by the words that it replaced.
    """

    tasks = (Task.GROUNDING, Task.INTERLEAVED_SEGMENTATION)
    about = "the union of SAM 3's instances of a text; regions are prompted by the words that they replaced"

    def __init__(self, model: Sam3Model, processor: Sam3Processor) -> None:
        self.model = model
        self.processor = processor

    def segment(self, images: Sequence[ImageLike], queries: Sequence[Query]) -> list[list[EntityMask]]:
        return segment_by_words(self, images, queries)

    @torch.inference_mode()
    def ground(self, images: Sequence[ImageLike], texts: Sequence[Sequence[str]]) -> list[list[EntityMask]]:
        answers = []
        for image, asked in zip(images, texts, strict=True):
            pixels = pixels_of(image)
            inputs = self.processor(images=pixels, return_tensors="pt").to(self.model.device)
            vision = self.model.get_vision_features(inputs["pixel_values"])  # once for all texts
            answers.append([self._mask(vision, text, pixels.shape[:2]) for text in asked])
        return answers

    def _mask(self, vision: object, text: str, size: tuple[int, int]) -> EntityMask:
        options = {"padding": "max_length", "max_length": 32, "truncation": True, "return_tensors": "pt"}
        tokens = self.processor.tokenizer([text], **options).to(self.model.device)
        inputs = {"input_ids": tokens["input_ids"], "attention_mask": tokens["attention_mask"]}
        output = self.model(vision_embeds=vision, **inputs)
        found = self.processor.post_process_instance_segmentation(output, threshold=0.0, target_sizes=[size])[0]
        scores = found["scores"].cpu().numpy()
        if not len(scores):
            return EntityMask(np.zeros(size, bool), 0.0)
        kept = scores >= min(THRESHOLD, scores.max())
        return EntityMask(found["masks"].cpu().numpy().astype(bool)[kept].any(axis=0), float(scores.max()))


def load_sam3(name: str, *, device: torch.device) -> Sam3:
    """Loads a folder or hub repository, such as facebook/sam3. Raises `FindError` if it is not SAM 3."""
    source = Source.parse(name, spec=f"sam3:{name}")
    with source.reading("SAM 3"):
        model = Sam3Model.from_pretrained(source.name, revision=source.revision)
        processor = Sam3Processor.from_pretrained(source.name, revision=source.revision)
    return Sam3(model.to(device).eval(), processor)
