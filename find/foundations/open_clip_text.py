"""How text towers of open_clip are loaded, and their tokenizers with character offsets."""

from __future__ import annotations

import re
import string
from pathlib import Path

import open_clip
import torch
from open_clip.factory import LOCAL_DIR_PREFIX
from open_clip.tokenizer import HFTokenizer, SimpleTokenizer, get_clean_fn
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from find.errors import CheckpointError
from find.foundations.clip_text import OpenClipLanguage
from find.foundations.loading import EncoderSpec, need_name
from find.foundations.open_clip import architecture_name, load_open_clip, model_name, pinned_spec
from find.foundations.tokenization import LongTexts

CLEANING = {
    get_clean_fn("whitespace"): [],
    get_clean_fn("lower"): [normalizers.Lowercase()],
    get_clean_fn("canonicalize"): [
        normalizers.Replace("_", " "),
        normalizers.Replace(Regex(f"[{re.escape(string.punctuation)}]"), ""),
        normalizers.Lowercase(),
    ],
}
"""What open_clip does to a text in Python before it is tokenized, as normalizers that keep account of characters."""


def load_open_clip_text(
    spec: EncoderSpec, *, dtype: torch.dtype = torch.float32, long_texts: LongTexts = LongTexts.REFUSE
) -> OpenClipLanguage:
    """The text tower of an open_clip model, named as `load_open_clip` takes it."""
    name = need_name(spec, "open_clip:NAME/PRETRAINED or open_clip:local-dir:FOLDER")
    model = load_open_clip(name, untrained=spec.untrained)
    named = architecture_name if spec.untrained else model_name
    tokenizer, padding_id = fast_tokenizer(named(name)[0])
    return OpenClipLanguage(
        model,
        tokenizer=tokenizer,
        padding_id=padding_id,
        layer=spec.block,
        spec=pinned_spec(spec),
        dtype=dtype,
        long_texts=long_texts,
    )


def fast_tokenizer(name: str) -> tuple[Tokenizer, int]:
    """An open_clip model's tokenizer as a fast one, which knows its tokens' offsets, and the id of its padding."""
    if name.startswith(LOCAL_DIR_PREFIX):
        file = Path(name.removeprefix(LOCAL_DIR_PREFIX)) / "tokenizer.json"
        if file.is_file():
            return Tokenizer.from_file(str(file)), 0
    own = open_clip.get_tokenizer(name)
    if isinstance(own, SimpleTokenizer):
        return _fast_byte_pairs(own), 0
    if isinstance(own, HFTokenizer) and own.tokenizer.is_fast and not own.tokenizer_mode and not own.strip_sep_token:
        tokenizer = own.tokenizer.backend_tokenizer
        steps = [*CLEANING[own.clean_fn], normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
        if tokenizer.normalizer is not None:
            steps.append(tokenizer.normalizer)
        tokenizer.normalizer = normalizers.Sequence(steps)
        return tokenizer, own.tokenizer.pad_token_id
    raise CheckpointError(f"open_clip model {name!r}: its tokenizer has no fast form that knows character offsets")


def _fast_byte_pairs(own: SimpleTokenizer) -> Tokenizer:
    """CLIP's byte-pair encoding, built from the vocabulary that ships with open_clip."""
    merges = [pair for pair, _ in sorted(own.bpe_ranks.items(), key=lambda item: item[1])]
    start, end = "<start_of_text>", "<end_of_text>"
    byte_pairs = models.BPE(vocab=own.encoder, merges=merges, continuing_subword_prefix="", end_of_word_suffix="</w>")
    tokenizer = Tokenizer(byte_pairs)
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    words = Regex(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(words, behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}",
        special_tokens=[(start, own.encoder[start]), (end, own.encoder[end])],
    )
    return tokenizer
