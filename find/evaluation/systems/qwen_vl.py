"""A vision-language model (Qwen2-VL, Qwen2.5-VL, Qwen3-VL) as an embedder of interleaved text and images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from transformers import AutoModel, AutoProcessor, PreTrainedModel, ProcessorMixin

from find.errors import CheckpointError
from find.evaluation.evaluate import Task
from find.evaluation.prediction_files.recorded import ImageRows, QueryRows
from find.evaluation.systems.common import crop, pixels_of
from find.foundations.source import Source
from find.images.images import ImageLike
from find.query.query import Query, Region

IMAGE_PROMPT = "\nSummarize the image above in one word:"
TEXT_PROMPT = "\nSummarize the sentence above in one word:"
"""Prompts after which the last token is the embedding (Jiang et al., 2024, E5-V); trained embedders have their own."""


class VisionLanguageEmbedder:
    """Retrieval and interleaved retrieval with the hidden state of the last token, prompted to summarise the input.

    A query keeps its order: words as text, each region as an image of its crop. It has no entity vectors, so its score
    is the sentence term alone.
    """

    tasks = (Task.RETRIEVAL, Task.INTERLEAVED_RETRIEVAL)

    def __init__(self, model: PreTrainedModel, processor: ProcessorMixin) -> None:
        self.model = model
        self.processor = processor
        self.about = f"last hidden state of a {type(model).__name__}; regions of a query as crops between its words"

    @torch.inference_mode()
    def embed_images(self, images: Sequence[ImageLike]) -> ImageRows:
        rows = [self._embed([_image(pixels_of(image)), _text(IMAGE_PROMPT)]) for image in images]
        vectors = torch.stack(rows)
        return ImageRows(vectors, vectors[:, None])

    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str]) -> Float[Tensor, "t d"]:
        return torch.stack([self._embed([_text(text + TEXT_PROMPT)]) for text in texts])

    @torch.inference_mode()
    def embed_queries(self, queries: Sequence[Query]) -> QueryRows:
        rows = []
        for query in queries:
            parts = [
                _image(crop(part)) if isinstance(part, Region) else _text(part if isinstance(part, str) else part.text)
                for part in query.parts
            ]
            vector = self._embed([*parts, _text(TEXT_PROMPT)])
            rows.append((vector, vector[None][:0]))
        return QueryRows.of(rows)

    def _embed(self, content: list[dict[str, Any]]) -> Float[Tensor, " d"]:
        """One conversation at a time: padding would change the vector of a causal model's last token."""
        inputs = self.processor.apply_chat_template(
            [{"role": "user", "content": content}],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        ).to(self.model.device)
        return F.normalize(self.model(**inputs).last_hidden_state[0, -1].float(), dim=-1)


def load_qwen_vl(name: str, *, device: torch.device) -> VisionLanguageEmbedder:
    """Loads a folder or hub repository whose processor has a chat template. Raises `FindError` if it has none."""
    source = Source.parse(name, spec=f"qwen-vl:{name}")
    with source.reading("the vision-language model"):
        model = AutoModel.from_pretrained(source.name, revision=source.revision)
        processor = AutoProcessor.from_pretrained(source.name, revision=source.revision)
    if not getattr(processor, "chat_template", None):
        raise CheckpointError(
            f"qwen-vl:{name}: its processor has no chat template, so it is not a vision-language chat model"
        )
    return VisionLanguageEmbedder(model.to(device).eval(), processor)


def _image(pixels: object) -> dict[str, Any]:
    return {"type": "image", "image": pixels}


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}
