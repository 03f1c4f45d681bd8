"""The tiny pair: a CLIP of four million parameters, trained on the synthetic world, which ships with FIND."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from safetensors import safe_open
from safetensors.torch import load_file
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import Tensor, nn

from find.errors import CheckpointError
from find.foundations.base import VisionFeatures
from find.foundations.clip_text import OpenClipLanguage
from find.foundations.clip_towers import ImageSizes, ImageTower, TextSizes, TextTower
from find.foundations.loading import EncoderSpec, refuse_name
from find.foundations.maps import MapEncoder, Maps, seeded
from find.foundations.tokenization import LongTexts

FOLDER = Path(__file__).parent / "weights" / "tiny-pair"  # an open_clip `local-dir`
CONFIG = "open_clip_config.json"
WEIGHTS = "open_clip_model.safetensors"
HEAD_WEIGHTS = "region_head.safetensors"
TOKENIZER = "tokenizer.json"

TINY = EncoderSpec.parse("tiny")

PAD, UNKNOWN, REGION, START, END = "[pad]", "[unk]", "[region]", "[start]", "[end]"
SYNONYMS = {
    "foreground": "front", "background": "behind", "top": "above", "bottom": "below", "at": "on",
    "between": "left right", "beneath": "under", "underneath": "under",
}  # fmt: skip
"""Words about places that the pair was not trained with, and the words that it reads in their stead."""


class RegionHead(nn.Module):
    """Predicts features in the pair's text space from the image tower's maps, at every position of the second map.

    Args:
        channels: of the maps, fine to coarse.
        width: of the text space.
    """

    def __init__(self, *, channels: Sequence[int], width: int, hidden: int = 256) -> None:
        super().__init__()
        self.hidden = nn.Linear(sum(channels), hidden)
        self.output = nn.Linear(hidden, width)

    def forward(self, maps: Sequence[Float[Tensor, "b _ _ _"]]) -> Float[Tensor, "b d h w"]:
        size = maps[1].shape[-2:]
        resized = [
            F.adaptive_avg_pool2d(m, size) if m.shape[-1] >= size[-1] else F.interpolate(m, size=size, mode="bilinear")
            for m in maps
        ]
        normed = [F.layer_norm(m.permute(0, 2, 3, 1), m.shape[1:2]) for m in resized]
        return self.output(F.gelu(self.hidden(torch.cat(normed, dim=-1)))).permute(0, 3, 1, 2)


class TinyVision(MapEncoder):
    """The tiny pair's image tower, with the head that was trained to name regions.

    Args:
        mean, std: of RGB in 0..1, for normalising the tower's pixels.
    """

    def __init__(
        self,
        tower: ImageTower,
        *,
        spec: str,
        mean: Sequence[float],
        std: Sequence[float],
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(tower, spec=spec, mean=mean, std=std, divisor=32, image_size=tower.image_size, dtype=dtype)
        self.region_head = RegionHead(channels=self.channels, width=self.pooled_dim)
        self.freeze()

    def forward_features(self, pixels: Float[Tensor, "b 3 h w"]) -> Maps:
        return self.tower(pixels)

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
    pixels = _settings()["preprocess_cfg"]
    tower = seeded(_towers)[0] if spec.untrained else _trained(0, "visual.")
    vision = seeded(TinyVision, tower, spec=spec.text, mean=pixels["mean"], std=pixels["std"], dtype=dtype)
    if not spec.untrained:
        vision.region_head.load_state_dict(load_file(_shipped(HEAD_WEIGHTS)))
    return vision


def tiny_language(
    spec: EncoderSpec = TINY, *, dtype: torch.dtype = torch.float32, long_texts: LongTexts = LongTexts.REFUSE
) -> OpenClipLanguage:
    """The shipped text tower, which knows the world's words only; untrained: with seeded random weights."""
    refuse_name(spec)
    return OpenClipLanguage(
        seeded(_towers)[1] if spec.untrained else _trained(1, ""),
        tokenizer=Tokenizer.from_file(str(_shipped(TOKENIZER))),
        spec=spec.text,
        dtype=dtype,
        long_texts=long_texts,
    )


def _towers() -> tuple[ImageTower, TextTower]:
    """Both, in the order in which open_clip draws their initial weights."""
    settings = _settings()["model_cfg"]
    width, text = settings["embed_dim"], dict(settings["text_cfg"])
    text.pop("hf_tokenizer_name")  # of the folder's tokenizer for transformers
    return ImageTower(ImageSizes(**settings["vision_cfg"]), width), TextTower(TextSizes(**text), width)


def _trained(number: int, prefix: str) -> nn.Module:
    """One of the towers with the shipped weights, whose names begin with the prefix."""
    tower = seeded(_towers)[number]  # on the meta device instead, PyTorch would import its compiler, for two seconds
    with safe_open(_shipped(WEIGHTS), framework="pt") as file:
        tower.load_state_dict({name: file.get_tensor(prefix + name) for name in tower.state_dict()})
    return tower


def _settings() -> dict[str, dict]:
    return json.loads(_shipped(CONFIG).read_text(encoding="utf-8"))


def _shipped(name: str) -> Path:
    for needed in (WEIGHTS, HEAD_WEIGHTS, CONFIG, TOKENIZER):
        if not (FOLDER / needed).is_file():
            raise CheckpointError(f"the tiny pair's weights are missing: {FOLDER / needed}; install the package again")
    return FOLDER / name


def word_tokenizer(words: Iterable[str]) -> Tokenizer:
    """A fast tokenizer with one token a word: lower-case, split at spaces and punctuation, `SYNONYMS` replaced.

    The end token has the largest id, because open_clip pools a text where its id is largest. Of the special
    tokens only `[region]` can be written by a user; the others come from the tokenizer alone.
    """
    known = sorted({word.lower() for word in words} - {PAD, UNKNOWN, REGION, START, END})
    ids = {token: i for i, token in enumerate([PAD, UNKNOWN, REGION, START, *known, END])}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token=UNKNOWN))
    synonyms = [
        normalizers.Replace(Regex(rf"\b{word}\b"), known_words)
        for word, known_words in SYNONYMS.items()
        if word not in known and set(known_words.split()) <= set(known)
    ]
    tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), *synonyms])
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
    tokenizer.save(str(folder / TOKENIZER))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": PAD, "unk_token": UNKNOWN}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
