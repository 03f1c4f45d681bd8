"""LLaMA through transformers as a frozen language encoder, cut after the layer whose output is read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int64
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import AutoConfig, AutoTokenizer, LlamaConfig, LlamaModel
from transformers.utils import cached_file

from find.errors import FindError
from find.foundations.base import Frozen, TextFeatures, TokenizedText


class LlamaLanguage(Frozen):
    """A LLaMA as a `LanguageEncoder`: a token's features are the output of the model's last block, without final norm.

    Args:
        model: cut to the blocks that are used, without final norm.
        tokenizer: fast, adding the start token.
        padding_id: fills texts shorter than the longest of a batch.
        spec: what `load_language` takes to build this encoder again.
    """

    def __init__(
        self,
        model: LlamaModel,
        *,
        tokenizer: Tokenizer,
        padding_id: int,
        spec: str,
        placeholder: str = "[INTERACTIVE]",
    ) -> None:
        super().__init__()
        self.model = model
        self.tokenizer = tokenizer
        self.padding_id = padding_id
        self.spec = spec
        self.placeholder = placeholder
        self.width: int = model.config.hidden_size
        self.pooled_dim: int | None = None
        self.context_length: int = model.config.max_position_embeddings
        self.unknown_id: int | None = tokenizer.token_to_id("<unk>")
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self.freeze()

    def tokenize(self, texts: Sequence[str]) -> TokenizedText:
        """Tokens of the texts, padded to the longest. Raises `FindError` for a text that is too long."""
        encodings = self.tokenizer.encode_batch(list(texts))
        longest = max((len(e.ids) for e in encodings), default=0)
        ids = torch.full((len(texts), longest), self.padding_id)
        padding = torch.ones(len(texts), longest, dtype=torch.bool)
        offsets = torch.zeros(len(texts), longest, 2, dtype=torch.long)
        unknown: list[tuple[str, ...]] = []
        for row, (text, encoding) in enumerate(zip(texts, encodings, strict=True)):
            length = len(encoding.ids)
            if length > self.context_length:
                raise FindError(
                    f"the text {text[:60]!r}... has {length} tokens, more than the {self.context_length} that "
                    f"{self.spec} takes: shorten it"
                )
            ids[row, :length] = torch.tensor(encoding.ids)
            padding[row, :length] = False
            words = [_without_leading_spaces(text, *offset) for offset in encoding.offsets]
            offsets[row, :length] = torch.tensor(words).view(-1, 2)
            strange = (text[a:b] for i, (a, b) in zip(encoding.ids, words, strict=True) if i == self.unknown_id)
            unknown.append(tuple(dict.fromkeys(word for word in strange if word)))
        return TokenizedText(ids=ids, padding=padding, offsets=offsets, unknown=tuple(unknown))

    def sentencepiece_offsets(self, texts: Sequence[str]) -> Int64[Tensor, "t l 2"]:
        """Characters [start, end) of each token as the tokenizer gives them: the space before a word is the word's."""
        encodings = self.tokenizer.encode_batch(list(texts))
        longest = max((len(e.ids) for e in encodings), default=0)
        rows = [[*e.offsets, *[(0, 0)] * (longest - len(e.ids))] for e in encodings]
        return torch.tensor(rows, dtype=torch.long).view(len(texts), longest, 2)

    @torch.no_grad()
    def forward(self, tokenized: TokenizedText) -> TextFeatures:
        """Features of tokenized texts on this module's device, in float32 whatever the weights' type."""
        tokenized = tokenized.to(self.model.embed_tokens.weight.device)
        tokens = self.hidden(tokenized.ids, tokenized.padding).float()
        return TextFeatures(
            tokens=tokens.masked_fill(tokenized.padding[..., None], 0),
            padding=tokenized.padding,
            offsets=tokenized.offsets,
            pooled=None,
        )

    @torch.no_grad()
    def hidden(self, ids: Int64[Tensor, "t l"], padding: Bool[Tensor, "t l"]) -> Float[Tensor, "t l c"]:
        """The last block's output, of padding too. Real tokens never see padding, which is on their right."""
        real = ~padding
        positions = (real.long().cumsum(dim=1) - 1).masked_fill(padding, 1)
        with torch.autocast(ids.device.type, enabled=False):
            out = self.model(input_ids=ids, attention_mask=real.long(), position_ids=positions, use_cache=False)
        return out.last_hidden_state


class _CutLlama(LlamaModel):
    """A LLaMA without final norm, which passes over the weights of what it does not have."""

    _keys_to_ignore_on_load_unexpected = [r"layers\.\d+\.", r"lm_head\.weight", r"norm\.weight"]  # noqa: RUF012

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__(config)
        self.norm = nn.Identity()


def load_llama(
    name: str, *, layers: int | None, spec: str, untrained: bool = False, dtype: torch.dtype = torch.float32
) -> LlamaLanguage:
    """A LLaMA in a Hugging Face folder or of the hub, cut after `layers` blocks (None: all of them).

    Only the blocks that are used are built, and only their weights stay in memory.
    """
    config = read_config(name)
    if layers is not None:
        if not 0 < layers <= config.num_hidden_layers:
            raise FindError(f"language encoder {spec}: {name} has {config.num_hidden_layers} blocks, not {layers}")
        config.num_hidden_layers = layers
    if untrained:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = _CutLlama(config).to(dtype)
    else:
        try:
            model, report = _CutLlama.from_pretrained(name, config=config, dtype=dtype, output_loading_info=True)
        except (OSError, ValueError, RuntimeError) as error:
            raise FindError(f"the LLaMA {name!r} cannot be loaded ({_first_line(error)})") from error
        missing = sorted(report["missing_keys"])
        if missing:
            raise FindError(f"the LLaMA {name!r} lacks {len(missing)} weights, such as {missing[0]}; fetch it again")
    return LlamaLanguage(model, tokenizer=read_tokenizer(name), padding_id=padding_id(config), spec=spec)


def read_config(name: str) -> LlamaConfig:
    """Raises `FindError` for a missing folder, or one that holds no LLaMA."""
    if not Path(name).is_dir() and (name.startswith((".", "/", "~")) or name.count("/") != 1):
        raise FindError(
            f"there is no LLaMA folder {name!r}; give a Hugging Face folder (config.json, tokenizer.json, weights) "
            "or a name of the hub such as huggyllama/llama-7b"
        )
    try:
        config = AutoConfig.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise FindError(f"{name!r} holds no LLaMA: config.json cannot be read ({_first_line(error)})") from error
    if not isinstance(config, LlamaConfig):
        raise FindError(f"{name!r} holds a model of type {config.model_type!r}, not a LLaMA")
    return config


def read_tokenizer(name: str) -> Tokenizer:
    """The fast tokenizer as its file says; made from the SentencePiece model where there is no such file."""
    try:
        file = cached_file(name, "tokenizer.json", _raise_exceptions_for_missing_entries=False)
        return Tokenizer.from_file(file) if file else AutoTokenizer.from_pretrained(name).backend_tokenizer
    except (OSError, ValueError) as error:
        raise FindError(f"the LLaMA {name!r} has no tokenizer ({_first_line(error)})") from error


def padding_id(config: LlamaConfig) -> int:
    """The end token; what stands in padding is never seen."""
    end = config.eos_token_id
    return (end[0] if isinstance(end, list) else end) or 0


def _without_leading_spaces(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start].isspace():
        start += 1
    return (start, end) if start < end else (0, 0)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
