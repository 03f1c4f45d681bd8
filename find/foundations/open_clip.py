"""The two towers of an open_clip model as foundations, and its tokenizer with character offsets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import open_clip
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, UInt8
from open_clip.factory import HF_HUB_PREFIX, LOCAL_DIR_PREFIX
from open_clip.modified_resnet import AttentionPool2d, ModifiedResNet
from open_clip.tokenizer import HFTokenizer, SimpleTokenizer
from open_clip.transformer import TextTransformer, VisionTransformer, text_global_pool
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from torch import Tensor, nn
from torch.func import functional_call

from find.errors import FindError
from find.foundations.base import Frozen, TextFeatures, TokenizedText, VisionFeatures, check_divisible


class OpenClipVision(Frozen):
    """The image tower of an open_clip model as a `VisionEncoder`.

    A ModifiedResNet gives maps of strides 4, 8, 16, 32 and takes any size that is a multiple of 32: at other
    sizes than its own the attention pool's positions are interpolated. A vision transformer gives one map
    and takes its own size only.
    """

    def __init__(self, tower: nn.Module, *, spec: str, dtype: torch.dtype = torch.float32):
        super().__init__()
        if not hasattr(tower, "forward_intermediates"):
            raise FindError(f"vision encoder {spec}: its open_clip tower gives no intermediate features")
        self.spec = spec
        self.tower = tower.to(memory_format=torch.channels_last)  # on a CPU half again as fast
        self.dtype = dtype
        size = tower.image_size[0] if isinstance(tower.image_size, Sequence) else tower.image_size
        self.image_size: int | None = size
        mean = torch.tensor(tower.preprocess_cfg["mean"]).view(3, 1, 1)
        std = torch.tensor(tower.preprocess_cfg["std"]).view(3, 1, 1)
        self.register_buffer("scale", 1 / (255 * std), persistent=False)
        self.register_buffer("shift", -mean / std, persistent=False)
        self.freeze()

        maps, pooled = self._intermediates(torch.zeros(1, 3, size, size), indices=None)
        deepest = {size // m.shape[-1]: i for i, m in enumerate(maps)}  # the deepest map of each stride
        self.strides: tuple[int, ...] = tuple(sorted(deepest))
        self.indices: list[int] = [deepest[s] for s in self.strides]
        self.channels: tuple[int, ...] = tuple(maps[i].shape[1] for i in self.indices)
        self.pooled_dim: int | None = pooled.shape[-1]
        self.divisor: int = size if isinstance(tower, VisionTransformer) else max(self.strides)

    @torch.no_grad()
    def forward(self, images: UInt8[Tensor, "b 3 h w"] | Float[Tensor, "b 3 h w"]) -> VisionFeatures:
        """Features of RGB images in 0..255, in `dtype`. Raises `FindError` for sides that do not fit."""
        check_divisible(images, self.divisor)
        height, width = images.shape[-2:]
        if isinstance(self.tower, VisionTransformer) and (height, width) != (self.divisor, self.divisor):
            raise FindError(
                f"vision encoder {self.spec} takes images of {self.divisor}x{self.divisor} pixels only, "
                f"these have {height}x{width} (height x width)"
            )
        normalised = torch.addcmul(self.shift, images.to(self.scale.dtype), self.scale)
        normalised = normalised.contiguous(memory_format=torch.channels_last)
        with torch.autocast(images.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32):
            maps, pooled = self._intermediates(normalised, indices=self.indices)
        return VisionFeatures(
            maps=tuple(m.to(self.dtype) for m in maps), strides=self.strides, pooled=pooled.to(self.dtype)
        )

    @torch.no_grad()
    def _intermediates(self, images: Tensor, *, indices: list[int] | None) -> tuple[list[Tensor], Tensor]:
        if not isinstance(self.tower, ModifiedResNet):
            output = self.tower.forward_intermediates(images, indices=indices)
            return output["image_intermediates"], output["image_features"]
        output = self.tower.forward_intermediates(images, indices=indices, intermediates_only=True)
        maps = output["image_intermediates"]
        return maps, attention_pool(self.tower.attnpool, maps[-1])


def attention_pool(pool: AttentionPool2d, features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
    """A ModifiedResNet's attention pool over a map of any size.

    At another size than its own, its grid of learned positions is bilinearly interpolated; at its own size
    this is exactly the pool.
    """
    height, width = features.shape[-2:]
    own = pool.positional_embedding
    side = math.isqrt(len(own) - 1)
    if (height, width) == (side, side):
        return pool(features)
    grid = own[1:].T.reshape(1, -1, side, side)
    grid = F.interpolate(grid, size=(height, width), mode="bilinear", align_corners=False)
    positions = torch.cat([own[:1], grid.flatten(2)[0].T])
    return functional_call(pool, {"positional_embedding": positions}, (features,))


class OpenClipLanguage(Frozen):
    """The text tower of an open_clip model as a `LanguageEncoder`.

    A token's features are the token embedding and the output of every layer, each layer-normed (without
    affine), concatenated: a tower that pools one token hardly trains the last layer of the others, and what
    their words mean stands in the earlier layers.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        tokenizer: Tokenizer,
        spec: str,
        placeholder: str = "[region]",
        dtype: torch.dtype = torch.float32,
    ):
        super().__init__()
        tower = getattr(model, "text", model)
        if not hasattr(tower, "token_embedding") or getattr(tower, "attn_mask", None) is None:
            raise FindError(
                f"language encoder {spec}: only open_clip's own causal text towers are supported, because "
                "only they give a text the same features whatever it is padded to"
            )
        if getattr(tower, "cls_emb", None) is not None:
            raise FindError(f"language encoder {spec}: towers with a class token (CoCa) are not supported")
        self.spec = spec
        self.placeholder = placeholder
        self.dtype = dtype
        self.tokenizer = tokenizer
        self.token_embedding = tower.token_embedding
        self.positional_embedding = tower.positional_embedding
        self.transformer = tower.transformer
        self.ln_final = tower.ln_final
        self.text_projection = tower.text_projection
        self.pool_type: str = tower.pool_type if isinstance(tower, TextTransformer) else tower.text_pool_type
        self.eos_id: int = tower.eos_id if isinstance(tower, TextTransformer) else tower.text_eos_id
        self.context_length: int = tower.context_length
        self.register_buffer("attn_mask", tower.attn_mask, persistent=False)
        layer_width = self.token_embedding.embedding_dim
        self.width: int = (len(self.transformer.resblocks) + 1) * layer_width
        projection = self.text_projection
        if projection is None:
            self.pooled_dim: int | None = layer_width
        else:
            linear = isinstance(projection, nn.Linear)
            self.pooled_dim = projection.out_features if linear else projection.shape[-1]
        self.unknown_id: int | None = tokenizer.token_to_id(getattr(tokenizer.model, "unk_token", None) or "")
        self.freeze()

    def tokenize(self, texts: Sequence[str]) -> TokenizedText:
        """Tokens of the texts, padded to the longest. Raises `FindError` for a text that is too long."""
        encodings = self.tokenizer.encode_batch(list(texts))
        longest = max((len(e.ids) for e in encodings), default=0)
        for text, encoding in zip(texts, encodings, strict=True):
            if len(encoding.ids) > self.context_length:
                raise FindError(
                    f"the text {text[:60]!r}... has {len(encoding.ids)} tokens, more than the "
                    f"{self.context_length} that {self.spec} takes: shorten it"
                )
        ids = torch.zeros(len(texts), longest, dtype=torch.long)
        padding = torch.ones(len(texts), longest, dtype=torch.bool)
        offsets = torch.zeros(len(texts), longest, 2, dtype=torch.long)
        unknown: list[tuple[str, ...]] = []
        for row, (text, encoding) in enumerate(zip(texts, encodings, strict=True)):
            length = len(encoding.ids)
            ids[row, :length] = torch.tensor(encoding.ids)
            padding[row, :length] = False
            offsets[row, :length] = torch.tensor(encoding.offsets).view(-1, 2)
            unknown.append(self._unknown_words(text, encoding.ids, encoding.offsets))
        return TokenizedText(ids=ids, padding=padding, offsets=offsets, unknown=tuple(unknown))

    def _unknown_words(self, text: str, ids: list[int], offsets: list[tuple[int, int]]) -> tuple[str, ...]:
        found = (text[a:b] for i, (a, b) in zip(ids, offsets, strict=True) if i == self.unknown_id and b > a)
        return tuple(dict.fromkeys(found))  # each once, in order

    @torch.no_grad()
    def forward(self, tokenized: TokenizedText) -> TextFeatures:
        """Features of tokenized texts on this module's device, in `dtype`."""
        tokenized = tokenized.to(self.positional_embedding.device)
        device = tokenized.ids.device.type
        with torch.autocast(device, dtype=self.dtype, enabled=self.dtype != torch.float32):
            states, pooled = self.encode(tokenized.ids)
            normed = [F.layer_norm(s.float(), s.shape[-1:]) for s in states]
        tokens = torch.cat(normed, dim=-1).masked_fill(tokenized.padding[..., None], 0)
        return TextFeatures(
            tokens=tokens.to(self.dtype),
            padding=tokenized.padding,
            offsets=tokenized.offsets,
            pooled=pooled.to(self.dtype),
        )

    def encode(self, ids: Int64[Tensor, "b t"]) -> tuple[list[Float[Tensor, "b t d"]], Float[Tensor, "b p"]]:
        """The token embedding and every layer's output, and the pooled text in the space shared with images.

        What open_clip's `encode_text` computes, at the length of the batch instead of the full context: the
        mask is causal, so padding on the right is never seen.
        """
        length = ids.shape[1]
        embedded = self.token_embedding(ids)
        states = [embedded]
        x = embedded + self.positional_embedding[:length]
        for block in self.transformer.resblocks:
            x = block(x, attn_mask=self.attn_mask[:length, :length])
            states.append(x)
        pooled = text_global_pool(self.ln_final(x), ids, self.pool_type, eos_token_id=self.eos_id)
        if isinstance(self.text_projection, nn.Linear):
            pooled = self.text_projection(pooled)
        elif self.text_projection is not None:
            pooled = pooled @ self.text_projection
        return states, pooled


def load_pair(
    name: str, *, spec: str, untrained: bool = False, dtype: torch.dtype = torch.float32
) -> tuple[OpenClipVision, OpenClipLanguage]:
    """Both towers of an open_clip model.

    `name` is `NAME/PRETRAINED` (a tag that open_clip knows, or a file), `local-dir:FOLDER` or `hf-hub:REPO`.
    `untrained` gives seeded random weights instead, the same ones each time.
    """
    pretrained = None
    if not name.startswith((LOCAL_DIR_PREFIX, HF_HUB_PREFIX)):
        name, _, pretrained = name.partition("/")
    model = load_open_clip(name, pretrained or None, untrained=untrained)
    vision = OpenClipVision(model.visual, spec=spec, dtype=dtype)
    return vision, OpenClipLanguage(model, tokenizer=fast_tokenizer(name), spec=spec, dtype=dtype)


def load_open_clip(name: str, pretrained: str | None, *, untrained: bool) -> nn.Module:
    """An open_clip model, or a `FindError` that says what is missing."""
    if name.startswith(LOCAL_DIR_PREFIX):
        folder = Path(name.removeprefix(LOCAL_DIR_PREFIX))
        if not (folder / "open_clip_config.json").is_file():
            raise FindError(f"no open_clip model in {folder}: open_clip_config.json is missing")
        if not untrained and not any(folder.glob("*.safetensors")):
            raise FindError(f"the open_clip model in {folder} has no weights: there is no .safetensors file")
    elif not name.startswith(HF_HUB_PREFIX):
        if open_clip.get_model_config(name) is None:
            raise FindError(f"open_clip knows no model named {name!r}; see open_clip.list_models()")
        if pretrained is None and not untrained:
            tags = ", ".join(open_clip.list_pretrained_tags_by_model(name)) or "none"
            raise FindError(
                f"open_clip model {name!r}: name its weights as well, 'open_clip:{name}/TAG' (tags: {tags}), "
                f"or 'random:open_clip:{name}' for untrained ones"
            )
    with torch.random.fork_rng(devices=[], enabled=untrained):
        if untrained:
            torch.manual_seed(0)
        return open_clip.create_model(name, pretrained=pretrained, load_weights=not untrained)


def fast_tokenizer(name: str) -> Tokenizer:
    """The tokenizer of an open_clip model as a fast one, which knows the offsets of its tokens."""
    if name.startswith(LOCAL_DIR_PREFIX):
        file = Path(name.removeprefix(LOCAL_DIR_PREFIX)) / "tokenizer.json"
        if file.is_file():
            return Tokenizer.from_file(str(file))
    own = open_clip.get_tokenizer(name)
    if isinstance(own, SimpleTokenizer):
        return _fast_byte_pairs(own)
    if isinstance(own, HFTokenizer) and own.tokenizer.is_fast:
        tokenizer = own.tokenizer.backend_tokenizer
        tokenizer.no_padding()
        tokenizer.no_truncation()
        return tokenizer
    raise FindError(f"open_clip model {name!r}: its tokenizer has no fast form that knows character offsets")


def _fast_byte_pairs(own: SimpleTokenizer) -> Tokenizer:
    """CLIP's byte-pair encoding, built from the vocabulary that ships with open_clip."""
    merges = [pair for pair, _ in sorted(own.bpe_ranks.items(), key=lambda item: item[1])]
    start, end = "<start_of_text>", "<end_of_text>"
    byte_pairs = models.BPE(
        vocab=own.encoder, merges=merges, continuing_subword_prefix="", end_of_word_suffix="</w>"
    )
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
