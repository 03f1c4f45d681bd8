"""CLIPSeg (Lüddecke & Ecker, 2022) of transformers: a mask for a text or for an image crop."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import CLIPSegForImageSegmentation, CLIPSegProcessor

from find.evaluation.evaluate import Task
from find.evaluation.systems.common import chunks, crop, pixels_of, resize_logits
from find.foundations.source import Source
from find.images.images import ImageLike
from find.model.predictions import EntityMask
from find.query.query import Phrase, Query, Region

PROMPTS = 16
"""Number of prompts per batch."""


class ClipSeg:
    """Grounding and interleaved segmentation. The mask is where the probability is at least 0.5; its score is the
    largest probability. Entities are prompted one by one; a region by its crop, as in the model's training."""

    tasks = (Task.GROUNDING, Task.INTERLEAVED_SEGMENTATION)
    about = "CLIPSeg; phrases by words, regions by crops of their boxes, each entity separately"

    def __init__(self, model: CLIPSegForImageSegmentation, processor: CLIPSegProcessor) -> None:
        self.model = model
        self.processor = processor
        self.length = model.config.text_config.max_position_embeddings

    def ground(self, images: Sequence[ImageLike], texts: Sequence[Sequence[str]]) -> list[list[EntityMask]]:
        return [
            self._masks(image, [Phrase(text) for text in asked]) for image, asked in zip(images, texts, strict=True)
        ]

    def segment(self, images: Sequence[ImageLike], queries: Sequence[Query]) -> list[list[EntityMask]]:
        return [self._masks(image, query.entities) for image, query in zip(images, queries, strict=True)]

    @torch.inference_mode()
    def _masks(self, image: ImageLike, prompts: Sequence[Phrase | Region]) -> list[EntityMask]:
        pixels = pixels_of(image)
        inputs = self.processor.image_processor(pixels, return_tensors="pt").to(self.model.device)
        answers = []
        for some in chunks(prompts, PROMPTS):
            embedded = torch.stack([self._embed(prompt) for prompt in some])
            repeated = inputs["pixel_values"].expand(len(some), -1, -1, -1)
            logits = self.model(pixel_values=repeated, conditional_embeddings=embedded).logits
            logits = logits.reshape(len(some), *logits.shape[-2:])  # the library drops the axis of a single prompt
            probabilities = resize_logits(logits, pixels.shape[:2]).sigmoid().cpu()
            answers += [EntityMask((one >= 0.5).numpy(), float(one.max())) for one in probabilities]
        return answers

    def _embed(self, prompt: Phrase | Region) -> Float[Tensor, " d"]:
        if isinstance(prompt, Region):
            pixels = self.processor.image_processor(crop(prompt), return_tensors="pt").to(self.model.device)
            return self.model.get_conditional_embeddings(1, conditional_pixel_values=pixels["pixel_values"])[0]
        options = {"padding": True, "truncation": True, "max_length": self.length, "return_tensors": "pt"}
        tokens = self.processor.tokenizer([prompt.text], **options).to(self.model.device)
        return self.model.get_conditional_embeddings(
            1, input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]
        )[0]


def load_clipseg(name: str, *, device: torch.device) -> ClipSeg:
    """Loads a folder or hub repository, such as CIDAS/clipseg-rd64-refined. Raises `FindError` if it is not CLIPSeg."""
    source = Source.parse(name, spec=f"clipseg:{name}")
    with source.reading("CLIPSeg"):
        model = CLIPSegForImageSegmentation.from_pretrained(source.name, revision=source.revision)
        processor = CLIPSegProcessor.from_pretrained(source.name, revision=source.revision)
    return ClipSeg(model.to(device).eval(), processor)
