"""LLaMA as the published FIND uses it: the raw output of a block, and its tokenizer as defined by its file."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int64
from tokenizers import Tokenizer
from torch import Tensor
from transformers import AutoConfig, AutoTokenizer, LlamaConfig
from transformers.utils import cached_file

from find.errors import CheckpointError
from find.foundations.loading import EncoderSpec, need_name
from find.foundations.source import Source
from find.foundations.tokenization import LongTexts, TextTokenizer
from find.foundations.transformers_text import TransformersText, check_block, load_cut

PLACEHOLDER = "[INTERACTIVE]"


class LlamaLanguage(TransformersText):
    """A LLaMA cut after the block whose output is read, without final norm; a text begins with the start token."""

    @property
    def padding_id(self) -> int:
        return self.tokenize.padding_id

    def sentencepiece_offsets(self, texts: Sequence[str]) -> Int64[Tensor, "t l 2"]:
        """Characters [start, end) of each token as the tokenizer gives them: the space before a word is the word's."""
        encodings = self.tokenize.backend.encode_batch([*texts])
        longest = max((len(e.ids) for e in encodings), default=0)
        rows = [[*e.offsets, *[(0, 0)] * (longest - len(e.ids))] for e in encodings]
        return torch.tensor(rows, dtype=torch.long).view(len(texts), longest, 2)

    def encode(self, ids: Int64[Tensor, "b t"], padding: Bool[Tensor, "b t"]) -> tuple[Float[Tensor, "b t d"], None]:
        return self.hidden(ids, padding), None

    @torch.no_grad()
    def hidden(self, ids: Int64[Tensor, "t l"], padding: Bool[Tensor, "t l"]) -> Float[Tensor, "t l c"]:
        """The last block's output, of padding too. Real tokens never attend to padding, which is on their right."""
        real = ~padding
        positions = (real.long().cumsum(dim=1) - 1).masked_fill(padding, 1)
        with torch.autocast(ids.device.type, enabled=False):
            out = self.model(input_ids=ids, attention_mask=real.long(), position_ids=positions, use_cache=False)
        return out.last_hidden_state


def load_llama(
    spec: EncoderSpec, *, dtype: torch.dtype = torch.float32, long_texts: LongTexts = LongTexts.REFUSE
) -> LlamaLanguage:
    """A LLaMA in a Hugging Face folder or on the hub, truncated after the spec's block (None: complete).

    Only the blocks that are used are built, and only their weights stay in memory.
    """
    name = need_name(spec, "llama:NAME#BLOCK")
    source = Source.parse(name, spec=spec.text)
    config = read_config(name, spec=spec.text)
    check_block(spec.block, config, spec.text)
    block = spec.block or config.num_hidden_layers
    model = load_cut(source, config, block=block, untrained=spec.untrained, dtype=dtype)
    backend = read_tokenizer(source)
    tokenizer = TextTokenizer(
        backend,
        context_length=config.max_position_embeddings,
        padding_id=padding_id(config),
        unknown_id=backend.token_to_id("<unk>"),
        spec=spec.text,
        long_texts=long_texts,
    )
    return LlamaLanguage(
        model,
        tokenizer=tokenizer,
        spec=f"{'random:' * spec.untrained}llama:{source.pinned()}#{block}",
        placeholder=PLACEHOLDER,
    )


def read_config(name: str, *, spec: str | None = None) -> LlamaConfig:
    """Raises `FindError` (naming `spec`) for a missing folder, or one without a LLaMA."""
    source = Source.parse(name, spec=spec or f"llama:{name}")
    with source.reading("its config.json"):
        options = source.options(untrained=source.spec.startswith("random:"))
        config = AutoConfig.from_pretrained(source.name, revision=source.revision, **options)
    if not isinstance(config, LlamaConfig):
        raise CheckpointError(f"{name!r} holds a model of type {config.model_type!r}, not a LLaMA")
    return config


def count_weights(config: LlamaConfig, block: int) -> int:
    """The number of parameters of a LLaMA truncated after a block."""
    width, head = config.hidden_size, config.hidden_size // config.num_attention_heads
    attention = 2 * width**2 + 2 * width * head * config.num_key_value_heads
    return config.vocab_size * width + block * (attention + 3 * width * config.intermediate_size + 2 * width)


def read_tokenizer(source: Source) -> Tokenizer:
    """The fast tokenizer of its file, or, without the file, converted from the SentencePiece model."""
    with source.reading("its tokenizer"):
        file = cached_file(
            source.name, "tokenizer.json", revision=source.revision, _raise_exceptions_for_missing_entries=False
        )
        if file:
            return Tokenizer.from_file(file)
        return AutoTokenizer.from_pretrained(source.name, revision=source.revision).backend_tokenizer


def padding_id(config: LlamaConfig) -> int:
    """The end token; padding is never attended to."""
    end = config.eos_token_id
    return (end[0] if isinstance(end, list) else end) or 0
