"""Turns queries into the tensors that the exported graphs take, and their outputs into FIND's results."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from find.errors import InputError
from find.foundations.tokenization import TextTokenizer
from find.interface import Tokens
from find.query.query import Query, RenderedQuery
from find.tasks import interleaved


@dataclass(frozen=True)
class Reading:
    """How a model's queries become tensors.

    Args:
        tokenize: the language encoder's.
        placeholder: the word that stands for a region.
        region_points, region_levels: samples per region and level, and number of levels.
        width: of the interface's tokens.
        pooled_width: of the foundations' common space, where the model reads phrases and regions in it.
        has_pair_term: whether the words between entities are also encoded separately.
    """

    tokenize: TextTokenizer
    placeholder: str
    region_points: int
    region_levels: int
    width: int
    pooled_width: int | None
    has_pair_term: bool

    def words(
        self,
        queries: Sequence[Query],
        regions: tuple[Tokens, ...] | None = None,
        own: Float[Tensor, "q e v"] | None = None,
        *,
        entities: int | None = None,
    ) -> dict[str, Tensor]:
        """The tensors of `find.integrations.export.halves.Words`, by name.

        Args:
            regions, own: what `ShownRegions.read` gives of the queries' regions, if there are any.
            entities: number of entities to pad each query to; None: that of the longest.

        Raises:
            InputError: a query with more entities than places, or with an entity that no token belongs to.
        """
        rendered = [query.render(self.placeholder) for query in queries]
        most = max((len(sentence.spans) for sentence in rendered), default=0)
        count = entities or max(most, 1)
        if most > count:
            raise InputError(
                f"a query has {most} entities, but this export takes {count}; export it anew with --entities {most}"
            )
        tokens = self.tokenize([sentence.text for sentence in rendered])
        spans = torch.tensor([list(s.spans) + [(0, 0)] * (count - len(s.spans)) for s in rendered])
        entity = interleaved.entity_of_token(tokens.offsets, spans, tokens.padding)
        padding = torch.arange(count) >= torch.tensor([len(s.spans) for s in rendered])[:, None]
        for row, number in (~padding & ~(entity[..., None] == torch.arange(count)).any(dim=1)).nonzero().tolist():
            raise InputError(
                f"the language encoder reads no word of entity {number + 1} of the query {queries[row].text[:60]!r}: "
                f"it takes {self.tokenize.context_length} tokens; shorten it"
            )
        is_region = torch.tensor([list(s.is_region) + [False] * (count - len(s.spans)) for s in rendered])
        named = {"ids": tokens.ids, "padding": tokens.padding, "entity": entity, "is_region": is_region}
        named |= {"entity_padding": padding} | self._regions(len(queries), count, regions, own)
        if self.pooled_width is not None:
            named |= self._texts("phrase", [_phrases(sentence) for sentence in rendered], count)
        if self.has_pair_term:
            named |= self._texts("connection", [sentence.connections for sentence in rendered], count + 1)
        return named

    def _regions(
        self, queries: int, count: int, regions: tuple[Tokens, ...] | None, own: Tensor | None
    ) -> dict[str, Tensor]:
        points = self.region_points
        if regions is None:
            levels = [torch.zeros(queries, count, points, self.width)] * self.region_levels
            padding = torch.ones(queries, count, points, dtype=torch.bool)
        else:
            shape = (regions[0].padding.shape[1] // points, points)
            missing = count - shape[0]
            levels = [F.pad(level.values.unflatten(1, shape), (0, 0, 0, 0, 0, missing)) for level in regions]
            padding = F.pad(regions[0].padding.unflatten(1, shape), (0, 0, 0, missing), value=True)
        named = {f"region_tokens_{k}": level for k, level in enumerate(levels)} | {"region_padding": padding}
        if self.pooled_width is None:
            return named
        if own is None:
            return named | {"region_own": torch.zeros(queries, count, self.pooled_width)}
        return named | {"region_own": F.pad(own, (0, 0, 0, count - own.shape[1]))}

    def _texts(self, name: str, rows: Sequence[Sequence[str]], count: int) -> dict[str, Tensor]:
        """Separate texts, `count` per row; all tokens of an empty text are padding."""
        texts = [text for row in rows for text in [*row, *[""] * (count - len(row))]]
        tokens = self.tokenize(texts)
        empty = torch.tensor([not text for text in texts])
        padding = (tokens.padding | empty[:, None]).unflatten(0, (len(rows), count))
        return {f"{name}_ids": tokens.ids.unflatten(0, (len(rows), count)), f"{name}_padding": padding}


def _phrases(sentence: RenderedQuery) -> list[str]:
    """Each phrase of a sentence; nothing in the place of a region."""
    spans = zip(sentence.spans, sentence.is_region, strict=True)
    return ["" if is_region else sentence.text[slice(*span)].strip() for span, is_region in spans]
