"""Language models, text encoders and the text towers of CLIP and SigLIP through transformers, as language encoders."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForTextEncoding,
    AutoTokenizer,
    CLIPTextConfig,
    CLIPTextModelWithProjection,
    PreTrainedConfig,
    PreTrainedModel,
    Siglip2TextConfig,
    Siglip2TextModel,
    SiglipTextConfig,
    SiglipTextModel,
)
from transformers.utils import logging

from find.errors import CheckpointError
from find.foundations.base import Frozen, TextFeatures, TokenizedText
from find.foundations.loading import EncoderSpec, need_name
from find.foundations.maps import cast_weights
from find.foundations.source import Source
from find.foundations.tokenization import LongTexts, TextTokenizer

TOWERS: dict[type[PreTrainedConfig], type[PreTrainedModel]] = {
    CLIPTextConfig: CLIPTextModelWithProjection,
    SiglipTextConfig: SiglipTextModel,
    Siglip2TextConfig: Siglip2TextModel,
}
"""Text towers whose pooled output lies in a space shared with images."""
MOST_TOKENS = 2**17
"""Of a text, for models that set no limit themselves."""
FINAL_NORMS = ("norm", "final_norm", "final_layer_norm", "final_layernorm", "ln_f")
INSIDE_COMPOSITE = {r"^(model\.)?(language_model|text_model)\.(model\.)?": ""}
"""How the names of a language model's weights begin in a model of several kinds of input."""


class TransformersText(Frozen):
    """A text model of transformers as a `LanguageEncoder`, without a space shared with images.

    A token's features are the model's final output, or, if truncated, its last block's raw output.

    Args:
        model: gives `last_hidden_state` for `input_ids` and `attention_mask`.
        tokenizer: with the model's context length.
        spec: what `load_language` takes to build this encoder again.
        placeholder: the word that stands for a region; by default the tokenizer's.
    """

    pooled_dim: int | None = None

    def __init__(
        self, model: PreTrainedModel, *, tokenizer: TextTokenizer, spec: str, placeholder: str | None = None
    ) -> None:
        super().__init__()
        self.model = model
        self.tokenize = tokenizer
        self.spec = spec
        self.placeholder = placeholder or tokenizer.placeholder
        self.context_length = tokenizer.context_length
        self.width: int = model.config.hidden_size
        self.freeze()

    @property
    def dtype(self) -> torch.dtype:
        """The type that features are computed in."""
        return self.model.dtype

    def compute_in(self, dtype: torch.dtype) -> None:
        cast_weights(self.model, dtype)

    @torch.no_grad()
    def forward(self, tokenized: TokenizedText) -> TextFeatures:
        """Features of tokenized texts on this module's device, in float32 for weights of any type."""
        tokenized = tokenized.to(self.model.device)
        with torch.autocast(tokenized.ids.device.type, enabled=False):
            tokens, pooled = self.encode(tokenized.ids, tokenized.padding)
        return TextFeatures(
            tokens=tokens.float().masked_fill(tokenized.padding[..., None], 0),
            padding=tokenized.padding,
            offsets=tokenized.offsets,
            pooled=None if pooled is None else pooled.float(),
        )

    def encode(
        self, ids: Int64[Tensor, "b t"], padding: Bool[Tensor, "b t"]
    ) -> tuple[Float[Tensor, "b t d"], Float[Tensor, "b p"] | None]:
        """Features of all tokens, those of padding undefined, and the pooled text."""
        return self.model(input_ids=ids, attention_mask=(~padding).long()).last_hidden_state, None


class TransformersTower(TransformersText):
    """The text tower of a CLIP or a SigLIP.

    SigLIP is trained on texts padded to the full context, and attends to the padding; so texts are padded likewise
    here, independent of the batch's length.

    Args:
        block: a token's features are this block's raw output, from 1; None: the tower's final output.
        padding_side: the side on which a SigLIP's texts are padded, "left" or "right".
    """

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        tokenizer: TextTokenizer,
        spec: str,
        block: int | None = None,
        padding_side: str = "right",
    ) -> None:
        super().__init__(model, tokenizer=tokenizer, spec=spec)
        self.block = block
        self.padding_side = padding_side
        self.is_causal = isinstance(model, CLIPTextModelWithProjection)
        config = model.config
        self.pooled_dim = config.projection_dim if self.is_causal else config.projection_size

    def encode(
        self, ids: Int64[Tensor, "b t"], padding: Bool[Tensor, "b t"]
    ) -> tuple[Float[Tensor, "b t d"], Float[Tensor, "b p"] | None]:
        if self.is_causal:
            output = self.model(input_ids=ids, output_hidden_states=self.block is not None)
            return self._tokens(output), output.text_embeds
        length, context = ids.shape[1], self.context_length
        filled = F.pad(ids, (0, context - length), value=self.tokenize.padding_id)
        shift = padding.sum(dim=1, keepdim=True) + context - length if self.padding_side == "left" else 0
        source = torch.arange(context, device=ids.device) - shift
        filled = filled.gather(1, source.clamp(min=0).expand_as(filled))
        filled = filled.masked_fill(source < 0, self.tokenize.padding_id)
        output = self.model(input_ids=filled, output_hidden_states=self.block is not None)
        tokens = self._tokens(output)
        place = (torch.arange(length, device=ids.device) + shift).clamp(max=context - 1).expand_as(ids)
        return tokens.gather(1, place[..., None].expand(-1, -1, tokens.shape[-1])), output.pooler_output

    def _tokens(self, output: Any) -> Float[Tensor, "b t d"]:
        return output.last_hidden_state if self.block is None else output.hidden_states[self.block]


def load_text(
    spec: EncoderSpec, *, dtype: torch.dtype = torch.float32, long_texts: LongTexts = LongTexts.REFUSE
) -> TransformersText:
    """The text model in a folder or of the hub (`NAME@REVISION`), with weights in `dtype`.

    With a block in the spec, later blocks are neither built nor loaded, except for a tower, whose pooled output needs
    all of them.
    """
    untrained, block = spec.untrained, spec.block
    source = Source.parse(need_name(spec, "transformers:NAME"), spec=spec.text)
    with source.reading("its config.json"):
        whole = AutoConfig.from_pretrained(source.name, revision=source.revision, **source.options(untrained=untrained))
    config = text_config(whole)
    check_block(block, config, spec.text)
    tower = TOWERS.get(type(config))
    if tower is None:
        names = INSIDE_COMPOSITE if config is not whole else None
        model = load_cut(source, config, block=block, untrained=untrained, dtype=dtype, names=names)
    else:
        if tower is CLIPTextModelWithProjection and config is not whole:
            config.projection_dim = whole.projection_dim  # the text config's own is often a default
        model, missing = load_model(source, tower, config, untrained=untrained, dtype=dtype)
        check_complete(source, missing)
    tokenizer, padding_side = read_tokenizer(source, model, long_texts=long_texts)
    pinned = f"{'random:' * untrained}transformers:{source.pinned()}" + (f"#{block}" if block else "")
    if tower is None:
        return TransformersText(model, tokenizer=tokenizer, spec=pinned)
    return TransformersTower(model, tokenizer=tokenizer, spec=pinned, block=block, padding_side=padding_side)


def text_config(config: PreTrainedConfig) -> PreTrainedConfig:
    """The text part's config of a multimodal model; otherwise the config itself."""
    return config if config.is_encoder_decoder else config.get_text_config()


def check_block(block: int | None, config: PreTrainedConfig, spec: str) -> None:
    if block is not None and not 0 < block <= config.num_hidden_layers:
        raise CheckpointError(f"language encoder {spec}: it has {config.num_hidden_layers} blocks, not {block}")


def load_cut(
    source: Source,
    config: PreTrainedConfig,
    *,
    block: int | None,
    untrained: bool,
    dtype: torch.dtype,
    names: dict[str, str] | None = None,
) -> PreTrainedModel:
    """A decoder, or the encoder of a text model, built and loaded up to a block; a cut one has no final norm."""
    config = copy.deepcopy(config)
    if block is not None:
        for key, value in list(vars(config).items()):  # per-block settings
            if isinstance(value, list) and len(value) == config.num_hidden_layers:
                setattr(config, key, value[:block])
        config.num_hidden_layers = block
    auto = AutoModelForTextEncoding if config.is_encoder_decoder else AutoModel
    if type(config) not in auto._model_mapping:
        raise CheckpointError(f"{source.spec}: transformers has no text encoder of type {config.model_type!r}")
    kind = auto._model_mapping[type(config)]
    model, missing = load_model(source, kind, config, untrained=untrained, dtype=dtype, names=names)
    if block is not None:
        norm = remove_final_norm(model, blocks=block)
        missing = [name for name in missing if norm is None or not name.startswith(norm)]
    check_complete(source, missing)
    return model


def load_model(
    source: Source,
    kind: type[PreTrainedModel],
    config: PreTrainedConfig,
    *,
    untrained: bool,
    dtype: torch.dtype,
    names: dict[str, str] | None = None,
) -> tuple[PreTrainedModel, list[str]]:
    """A model, and the names of its weights that the files lack; other weights in the files are ignored.

    `names` maps beginnings of the weights' names, as regular expressions, to the model's own.
    """
    options = {"add_pooling_layer": False} if "add_pooling_layer" in inspect.signature(kind).parameters else {}
    if untrained:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return kind(config, **options).to(dtype), []
    with source.reading("its weights"), _quietly():
        model, report = kind.from_pretrained(
            source.name,
            revision=source.revision,
            config=config,
            dtype=dtype,
            key_mapping=names,
            output_loading_info=True,
            **options,
        )
    return model, sorted(report["missing_keys"])


def check_complete(source: Source, missing: list[str]) -> None:
    if missing:
        raise CheckpointError(
            f"{source.spec}: the files lack {len(missing)} weights, such as {missing[0]}; fetch them again, or name "
            "a model whose text part transformers can load by itself"
        )


def remove_final_norm(model: PreTrainedModel, *, blocks: int) -> str | None:
    """Removes the norm after the last block and returns its weights' name, None if there is none.

    It is a sibling of the list of blocks.
    """
    for path, stack in model.named_modules():
        children = dict(stack.named_children())
        if any(isinstance(child, nn.ModuleList) and len(child) == blocks for child in children.values()):
            for name in FINAL_NORMS:
                if name in children:
                    setattr(stack, name, nn.Identity())
                    return f"{path}.{name}." if path else f"{name}."
    return None


def read_tokenizer(
    source: Source, model: PreTrainedModel, *, long_texts: LongTexts = LongTexts.REFUSE
) -> tuple[TextTokenizer, str]:
    """The model's tokenizer, and the side on which it pads texts."""
    with source.reading("its tokenizer"):
        own = AutoTokenizer.from_pretrained(
            source.name, revision=source.revision, **source.options(untrained=source.spec.startswith("random:"))
        )
    if not own.is_fast:
        raise CheckpointError(
            f"{source.spec}: its tokenizer has no fast form, which alone knows character offsets; save one as "
            "tokenizer.json beside it, or take the model from open_clip"
        )
    lengths = [own.model_max_length, positions(model), MOST_TOKENS]  # the first is a huge number if unknown
    tokenizer = TextTokenizer(
        own.backend_tokenizer,
        context_length=min(length for length in lengths if length),
        padding_id=next((i for i in (own.pad_token_id, own.eos_token_id) if i is not None), 0),
        unknown_id=own.unk_token_id,
        spec=source.spec,
        long_texts=long_texts,
    )
    word = tokenizer.placeholder
    if set(own.backend_tokenizer.encode(word, add_special_tokens=False).ids) <= {own.unk_token_id}:
        # transformers makes up a tokenizer if there are no files
        raise CheckpointError(
            f"{source.spec}: its tokenizer does not know the word {word!r}; are the tokenizer files there?"
        )
    return tokenizer, own.padding_side


def positions(model: PreTrainedModel) -> int | None:
    """The number of tokens that the model has positions for; None if unknown."""
    count = getattr(model.config, "max_position_embeddings", None)
    for name, module in model.named_modules():  # of RoBERTa's kind: positions begin after the padding's
        if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None:
            count = module.num_embeddings - module.padding_idx - 1
    return count


@contextmanager
def _quietly() -> Iterator[None]:
    """Silences transformers' report of ignored weights; missing ones are reported by us."""
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)
