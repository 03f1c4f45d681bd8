"""Words and interleaved sentences as padded tensors, the inputs of the interface."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, Int64
from torch import Tensor

from find.foundations import LanguageEncoder, TextFeatures
from find.interface import Interface, Prompt, Prototype, Tokens
from find.query.query import RenderedQuery
from find.tasks import interleaved
from find.utils.transfer import upload


def read_texts(language: LanguageEncoder, texts: Sequence[str], device: torch.device) -> TextFeatures:
    """The frozen language encoder's features of texts."""
    return language(language.tokenize(texts)).to(device)


def concat_text_features(parts: Sequence[TextFeatures]) -> TextFeatures:
    """Texts of several batches as one."""
    if len(parts) == 1:
        return parts[0]
    length = max(part.tokens.shape[1] for part in parts)
    parts = [_lengthened(part, length) for part in parts]
    pooled = [part.pooled for part in parts if part.pooled is not None]  # of all, or of none
    return TextFeatures(
        torch.cat([part.tokens for part in parts]),
        torch.cat([part.padding for part in parts]),
        torch.cat([part.offsets for part in parts]),
        torch.cat(pooled) if pooled else None,
    )


def _lengthened(features: TextFeatures, length: int) -> TextFeatures:
    more = length - features.tokens.shape[1]
    return TextFeatures(
        F.pad(features.tokens, (0, 0, 0, more)),
        F.pad(features.padding, (0, more), value=True),
        F.pad(features.offsets, (0, 0, 0, more)),
        features.pooled,
    )


@dataclass(frozen=True)
class Sentences:
    """Interleaved sentences, regions standing as the placeholder word."""

    tokens: Float[Tensor, "q l w"]
    token_padding: Bool[Tensor, "q l"]
    pooled: Float[Tensor, "q v"] | None
    entity_of_token: Int[Tensor, "q l"]
    is_region: Bool[Tensor, "q e"]
    padding: Bool[Tensor, "q e"]  # of the entities
    offsets: Int64[Tensor, "q l 2"]  # of the tokens, in characters; on the host
    unknown: tuple[tuple[str, ...], ...]
    truncated_entities: tuple[
        tuple[int, int], ...
    ] = ()  # sentence and entity indices of entities without a token, which are padding
    phrases: Float[Tensor, "q e v"] | None = None  # pooled vectors of each phrase alone; zeros at regions and padding

    @classmethod
    def read(cls, language: LanguageEncoder, sentences: Sequence[RenderedQuery], device: torch.device) -> "Sentences":
        tokenized = language.tokenize([sentence.text for sentence in sentences])
        features = language(tokenized).to(device)
        width = max(max((len(sentence.spans) for sentence in sentences), default=1), 1)
        spans = [list(s.spans) + [(0, 0)] * (width - len(s.spans)) for s in sentences]
        is_region = [list(s.is_region) + [False] * (width - len(s.spans)) for s in sentences]
        padding = torch.arange(width) >= torch.tensor([len(s.spans) for s in sentences])[:, None]
        owner = interleaved.entity_of_token(tokenized.offsets, torch.tensor(spans), tokenized.padding)
        truncated_entities = ~padding & ~(owner[..., None] == torch.arange(width)).any(dim=1)
        return cls(
            tokens=features.tokens,
            token_padding=features.padding,
            pooled=features.pooled,
            phrases=None if features.pooled is None else _pooled_phrases(language, sentences, width, device),
            entity_of_token=upload(owner, device),
            is_region=upload(torch.tensor(is_region), device),
            padding=upload(padding | truncated_entities, device),
            offsets=tokenized.offsets,
            unknown=tokenized.unknown,
            truncated_entities=tuple(map(tuple, truncated_entities.nonzero().tolist())),
        )

    def prompt(
        self,
        interface: Interface,
        prototype: Prototype,
        regions: tuple[Tokens, ...] | None,
        aligned: Float[Tensor, "q e v"] | None = None,
    ) -> Prompt:
        """The sentences as the interface takes them.

        Args:
            regions: the sampled tokens of the sentences' regions, indexed by entity; None if there are none.
            aligned: the vision encoder's own embeddings of the regions, where it has them; zeros at phrases.
        """
        own = self.phrases if self.phrases is None or aligned is None else self.phrases + aligned
        return interleaved.prompt(
            interface,
            prototype,
            self.tokens,
            self.token_padding,
            self.entity_of_token,
            self.is_region,
            self.padding,
            regions,
            self.pooled,
            own,
        )


def _pooled_phrases(
    language: LanguageEncoder, sentences: Sequence[RenderedQuery], width: int, device: torch.device
) -> Float[Tensor, "q e v"]:
    """Each distinct phrase is encoded once."""
    texts = [
        [s.text[slice(*span)].strip() for span, is_region in zip(s.spans, s.is_region, strict=True) if not is_region]
        for s in sentences
    ]
    distinct = list(dict.fromkeys(text for row in texts for text in row))
    places = [
        (row, column)
        for row, s in enumerate(sentences)
        for column, is_region in enumerate(s.is_region)
        if not is_region
    ]
    pooled = read_texts(language, distinct or [""], device).pooled
    assert pooled is not None  # as it was for the sentences
    phrases = pooled.new_zeros(len(sentences), width, pooled.shape[-1])
    if places:
        number = {text: k for k, text in enumerate(distinct)}
        row, column = upload(torch.tensor(places), device).unbind(1)
        phrases[row, column] = pooled[upload(torch.tensor([number[text] for line in texts for text in line]), device)]
    return phrases
