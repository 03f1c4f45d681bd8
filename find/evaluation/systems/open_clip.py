"""open_clip's dual encoders, with the library's own preprocessing and tokenizer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import open_clip
import torch
from jaxtyping import Float, UInt8
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from torch import Tensor, nn

from find.evaluation.systems.dual_encoder import DualEncoder
from find.foundations.open_clip import load_open_clip as load_model
from find.foundations.open_clip import model_name


class OpenClipTowers:
    """An open_clip model as `Towers`."""

    def __init__(self, model: nn.Module, *, transform: Callable[[Image.Image], Tensor], tokenizer: Callable) -> None:
        self.model = model
        self.transform = transform
        self.tokenizer = tokenizer
        self.device = next(model.parameters()).device

    def images(self, images: Sequence[UInt8[np.ndarray, "h w 3"]]) -> Float[Tensor, "b d"]:
        pixels = torch.stack([self.transform(Image.fromarray(image)) for image in images])
        return self.model.encode_image(pixels.to(self.device))

    def texts(self, texts: Sequence[str]) -> Float[Tensor, "t d"]:
        return self.model.encode_text(self.tokenizer(list(texts)).to(self.device))


def load_open_clip(name: str, *, device: torch.device) -> DualEncoder:
    """`ARCHITECTURE/PRETRAINED` (a tag of open_clip or a file), `local-dir:FOLDER` or `hf-hub:REPO`.

    Raises:
        FindError: open_clip does not know the model or weights, or they cannot be read.
    """
    model = load_model(name, untrained=False).to(device).eval()
    transform = image_transform_v2(PreprocessCfg(**model.visual.preprocess_cfg), is_train=False)
    towers = OpenClipTowers(model, transform=transform, tokenizer=open_clip.get_tokenizer(model_name(name)[0]))
    return DualEncoder(towers, about="open_clip's dual encoder; regions of a query by crops of their boxes")
