"""The tiny pair: a CLIP of four million parameters, trained on the synthetic world, that we ship."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors

from find.errors import FindError
from find.foundations.open_clip import OpenClipVision, load_open_clip_vision
from find.foundations.open_clip_text import OpenClipLanguage, load_open_clip_text

FOLDER = Path(__file__).parent / "weights" / "tiny-pair"  # an open_clip `local-dir`
WEIGHTS = "open_clip_model.safetensors"

PAD, UNKNOWN, REGION, START, END = "[pad]", "[unk]", "[region]", "[start]", "[end]"


def tiny_vision(*, untrained: bool = False, dtype: torch.dtype = torch.float32) -> OpenClipVision:
    """The shipped image tower, of strides 4 to 32; `untrained`: with seeded random weights."""
    return load_open_clip_vision(_shipped(), spec="random:" * untrained + "tiny", untrained=untrained, dtype=dtype)


def tiny_language(*, untrained: bool = False, dtype: torch.dtype = torch.float32) -> OpenClipLanguage:
    """The shipped text tower, which knows the world's words only; `untrained`: with seeded random weights."""
    return load_open_clip_text(_shipped(), spec="random:" * untrained + "tiny", untrained=untrained, dtype=dtype)


def _shipped() -> str:
    if not (FOLDER / WEIGHTS).is_file():
        raise FindError(f"the tiny pair's weights are missing: {FOLDER / WEIGHTS}; install the package again")
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
