"""A text tower of open_clip's kind as a language encoder; the library itself is not needed."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from tokenizers import Tokenizer
from torch import Tensor, nn

from find.errors import CheckpointError
from find.foundations.base import Frozen, TextFeatures, TokenizedText
from find.foundations.tokenization import LongTexts, TextTokenizer


class OpenClipLanguage(Frozen):
    """The text tower of an open_clip model as a `LanguageEncoder`.

    A token's features are the token embedding and the output of every layer, each layer-normed (without
    affine), concatenated: in a tower that pools one token, the last layer of the others is hardly trained, and the
    meaning of words is in the earlier layers. For large towers, where that would be wide, take one layer.

    SigLIP is trained on texts padded to the full context, and attends to the padding; so texts are padded likewise
    here, independent of the batch's length.

    Args:
        model: with an open_clip text tower.
        tokenizer: its own.
        spec: what `load_language` takes to build this encoder again.
        padding_id: of the token that fills texts up.
        layer: a token's features are this layer's output alone, from 1; None: all of them.
        dtype: computed in by autocast.
        long_texts: what becomes of texts longer than the context.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        tokenizer: Tokenizer,
        spec: str,
        padding_id: int = 0,
        layer: int | None = None,
        dtype: torch.dtype = torch.float32,
        long_texts: LongTexts = LongTexts.REFUSE,
    ):
        super().__init__()
        tower = getattr(model, "text", model)
        if not hasattr(tower, "token_embedding"):
            raise CheckpointError(f"language encoder {spec}: only open_clip's own text towers are supported")
        if getattr(tower, "cls_emb", None) is not None:
            raise CheckpointError(f"language encoder {spec}: towers with a class token (CoCa) are not supported")
        layers = len(tower.transformer.resblocks)
        if layer is not None and not 0 < layer <= layers:
            raise CheckpointError(f"language encoder {spec}: it has {layers} layers, not {layer}")
        self.spec = spec
        self.dtype = dtype
        self.layer = layer
        self.token_embedding = tower.token_embedding
        self.positional_embedding = tower.positional_embedding
        self.transformer = tower.transformer
        self.ln_final = tower.ln_final
        self.text_projection = tower.text_projection
        self.pool_type: str = tower.pool_type if hasattr(tower, "pool_type") else tower.text_pool_type
        if self.pool_type not in ("first", "last", "argmax", "eos"):
            raise CheckpointError(f"language encoder {spec}: texts pooled by {self.pool_type!r} are not supported")
        self.eos_id: int = tower.eos_id if hasattr(tower, "eos_id") else tower.text_eos_id
        self.context_length: int = tower.context_length
        self.tokenize = TextTokenizer(
            tokenizer,
            context_length=self.context_length,
            padding_id=padding_id,
            unknown_id=tokenizer.token_to_id(getattr(tokenizer.model, "unk_token", None) or ""),
            spec=spec,
            long_texts=long_texts,
        )
        self.placeholder = self.tokenize.placeholder
        self.register_buffer("attn_mask", tower.attn_mask, persistent=False)
        layer_width = self.token_embedding.embedding_dim
        self.width: int = layer_width if layer else (layers + 1) * layer_width
        projection = self.text_projection
        if projection is None:
            self.pooled_dim: int | None = layer_width
        else:
            linear = isinstance(projection, nn.Linear)
            self.pooled_dim = projection.out_features if linear else projection.shape[-1]
        self.freeze()

    def compute_in(self, dtype: torch.dtype) -> None:
        self.dtype = dtype

    @torch.no_grad()
    def forward(self, tokenized: TokenizedText) -> TextFeatures:
        """Features of tokenized texts on this module's device, in `dtype`."""
        tokenized = tokenized.to(self.positional_embedding.device)
        length = tokenized.ids.shape[1]
        device = tokenized.ids.device.type
        with torch.autocast(device, dtype=self.dtype, enabled=self.dtype != torch.float32):
            states, pooled = self.encode(tokenized.ids)
            read = states if self.layer is None else states[self.layer : self.layer + 1]
            normed = [F.layer_norm(s[:, :length].float(), s.shape[-1:]) for s in read]
        tokens = torch.cat(normed, dim=-1).masked_fill(tokenized.padding[..., None], 0)
        return TextFeatures(
            tokens=tokens.to(self.dtype),
            padding=tokenized.padding,
            offsets=tokenized.offsets,
            pooled=pooled.to(self.dtype),
        )

    def encode(self, ids: Int64[Tensor, "b t"]) -> tuple[list[Float[Tensor, "b l d"]], Float[Tensor, "b p"]]:
        """The token embedding and every layer's output, and the pooled text in the space shared with images.

        What open_clip's `encode_text` computes. Where the mask is causal, padding on the right is never seen, and the
        length is the batch's instead of the full context's.
        """
        if self.attn_mask is None:
            ids = F.pad(ids, (0, self.context_length - ids.shape[1]), value=self.tokenize.padding_id)
        length = ids.shape[1]
        mask = None if self.attn_mask is None else self.attn_mask[:length, :length]
        embedded = self.token_embedding(ids)
        states = [embedded]
        x = embedded + self.positional_embedding[:length]
        for block in self.transformer.resblocks:
            x = block(x, attn_mask=mask)
            states.append(x)
        pooled = self.pool(self.ln_final(x), ids)
        if isinstance(self.text_projection, nn.Linear):
            pooled = self.text_projection(pooled)
        elif self.text_projection is not None:
            pooled = pooled @ self.text_projection
        return states, pooled

    def pool(self, states: Float[Tensor, "b l d"], ids: Int64[Tensor, "b l"]) -> Float[Tensor, "b d"]:
        """The state that stands for the whole text, as open_clip's `pool_type` says."""
        if self.pool_type in ("first", "last"):
            return states[:, 0 if self.pool_type == "first" else -1]
        place = (ids if self.pool_type == "argmax" else (ids == self.eos_id).int()).argmax(dim=-1)
        return states[torch.arange(states.shape[0], device=states.device), place]
