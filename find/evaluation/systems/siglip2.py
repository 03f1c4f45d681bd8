"""SigLIP, SigLIP2 and CLIP of transformers as dual encoders, each with its own processor."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from transformers import AutoModel, AutoProcessor, ProcessorMixin

from find.errors import CheckpointError
from find.evaluation.systems.dual_encoder import DualEncoder
from find.foundations.source import Source


class TransformersTowers:
    """A model with `get_image_features` and `get_text_features` as `Towers`.

    Texts are padded or truncated to the model's full length, as in SigLIP's training.
    """

    def __init__(self, model: nn.Module, processor: ProcessorMixin) -> None:
        self.model = model
        self.processor = processor
        self.device = next(model.parameters()).device
        self.length = model.config.text_config.max_position_embeddings

    def images(self, images: Sequence[UInt8[np.ndarray, "h w 3"]]) -> Float[Tensor, "b d"]:
        inputs = self.processor(images=list(images), return_tensors="pt").to(self.device)
        return self.model.get_image_features(**inputs).pooler_output

    def texts(self, texts: Sequence[str]) -> Float[Tensor, "t d"]:
        options = {"padding": "max_length", "max_length": self.length, "truncation": True, "return_tensors": "pt"}
        inputs = self.processor(text=list(texts), **options).to(self.device)
        return self.model.get_text_features(**inputs).pooler_output


def load_siglip2(name: str, *, device: torch.device) -> DualEncoder:
    """Loads a folder or hub repository with a SigLIP, SigLIP2 or CLIP. Raises `FindError` for anything else."""
    source = Source.parse(name, spec=f"siglip2:{name}")
    with source.reading("the dual encoder"):
        model = AutoModel.from_pretrained(source.name, revision=source.revision)
        processor = AutoProcessor.from_pretrained(source.name, revision=source.revision)
    if not hasattr(model, "get_text_features") or not hasattr(model, "get_image_features"):
        raise CheckpointError(f"siglip2:{name}: a {type(model).__name__} is not a dual encoder of images and texts")
    towers = TransformersTowers(model.to(device).eval(), processor)
    return DualEncoder(towers, about=f"{type(model).__name__}; regions of a query by crops of their boxes")
