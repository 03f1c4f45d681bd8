"""The tiny pair: a CLIP of four million parameters, trained on the synthetic world, that we ship."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from safetensors.torch import load_file
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import Tensor, nn

from find.errors import FindError
from find.foundations.base import VisionFeatures
from find.foundations.loading import EncoderSpec, refuse_name
from find.foundations.open_clip import OpenClipVision, load_open_clip
from find.foundations.open_clip_text import OpenClipLanguage, load_open_clip_text
from find.foundations.tokenization import LongTexts

FOLDER = Path(__file__).parent / "weights" / "tiny-pair"  # an open_clip `local-dir`
WEIGHTS = "open_clip_model.safetensors"
HEAD_WEIGHTS = "region_head.safetensors"

TINY = EncoderSpec.parse("tiny")

PAD, UNKNOWN, REGION, START, END = "[pad]", "[unk]", "[region]", "[start]", "[end]"


class RegionHead(nn.Module):
    """Reads features in the pair's text space off the image tower's maps, at every place of the second one.

    Args:
        channels: of the maps, fine to coarse.
        width: of the text space.
    """

    def __init__(self, *, channels: Sequence[int], width: int, hidden: int = 256) -> None:
        super().__init__()
        self.hidden = nn.Linear(sum(channels), hidden)
        self.output = nn.Linear(hidden, width)

    def forward(self, maps: Sequence[Float[Tensor, "b _ h w"]]) -> Float[Tensor, "b d h w"]:
        size = maps[1].shape[-2:]
        resized = [
            F.adaptive_avg_pool2d(m, size) if m.shape[-1] >= size[-1] else F.interpolate(m, size=size, mode="bilinear")
            for m in maps
        ]
        normed = [F.layer_norm(m.permute(0, 2, 3, 1), m.shape[1:2]) for m in resized]
        return self.output(F.gelu(self.hidden(torch.cat(normed, dim=-1)))).permute(0, 3, 1, 2)


class TinyVision(OpenClipVision):
    """The tiny pair's image tower, with the head that was trained to name regions."""

    def __init__(self, tower: nn.Module, *, spec: str, dtype: torch.dtype = torch.float32) -> None:
        super().__init__(tower, spec=spec, dtype=dtype)
        self.region_head = RegionHead(channels=self.channels, width=self.pooled_dim)
        self.freeze()

    @torch.no_grad()
    def forward(self, images: UInt8[Tensor, "b 3 h w"] | Float[Tensor, "b 3 h w"]) -> VisionFeatures:
        """Features of RGB images in 0..255, in `dtype`. Raises `FindError` for sides that do not fit."""
        features = super().forward(images)
        with torch.autocast(images.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32):
            aligned = self.region_head(features.maps)
        return replace(features, aligned=aligned.to(self.dtype))


def tiny_vision(spec: EncoderSpec = TINY, *, dtype: torch.dtype = torch.float32) -> TinyVision:
    """The shipped image tower, of strides 4 to 32; untrained: with seeded random weights."""
    refuse_name(spec)
    tower = load_open_clip(_shipped(WEIGHTS), untrained=spec.untrained).visual
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        vision = TinyVision(tower, spec=spec.text, dtype=dtype)
    if not spec.untrained:
        _shipped(HEAD_WEIGHTS)
        vision.region_head.load_state_dict(load_file(FOLDER / HEAD_WEIGHTS))
    return vision


def tiny_language(
    spec: EncoderSpec = TINY, *, dtype: torch.dtype = torch.float32, long_texts: LongTexts = LongTexts.REFUSE
) -> OpenClipLanguage:
    """The shipped text tower, which knows the world's words only; untrained: with seeded random weights."""
    refuse_name(spec)
    shipped = EncoderSpec(spec.text, spec.library, _shipped(WEIGHTS), spec.untrained)  # `text` stays what users wrote
    return load_open_clip_text(shipped, dtype=dtype, long_texts=long_texts)


def _shipped(weights: str) -> str:
    if not (FOLDER / weights).is_file():
        raise FindError(f"the tiny pair's weights are missing: {FOLDER / weights}; install the package again")
    return f"local-dir:{FOLDER}"


def word_tokenizer(words: Iterable[str]) -> Tokenizer:
    """A fast tokenizer with one token a word: lower-case, split at spaces and punctuation.

    The end token has the largest id, because open_clip pools a text where its id is largest. Of the special
    tokens only `[region]` can be written by a user; the others come from the tokenizer alone.
    """
    known = sorted({word.lower() for word in words} - {PAD, UNKNOWN, REGION, START, END})
    ids = {token: i for i, token in enumerate([PAD, UNKNOWN, REGION, START, *known, END])}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation("isolated")]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{START} $A {END}", special_tokens=[(START, ids[START]), (END, ids[END])]
    )
    tokenizer.add_special_tokens([AddedToken(REGION, normalized=False)])
    return tokenizer


def write_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Write the two tokenizer files that open_clip and transformers read."""
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": PAD, "unk_token": UNKNOWN}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
