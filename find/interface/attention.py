"""The attention stack's layer: content attention, condition attention, feed-forward (paper, 3.2; Eq. 2-4).

Groups that do not talk never share an attention matrix: projections run once over the concatenation of all groups,
the attention itself once a group, over the keys that this group may see.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from find.interface.prototype import Member
from find.interface.types import Group


@dataclass(frozen=True)
class GroupState:
    """A group inside the stack: what changes (`values`) and what stays (`positions`, `padding`, `index`)."""

    values: Float[Tensor, "b n c"]
    positions: Float[Tensor, "b n c"]
    padding: Bool[Tensor, "b n"] | None = None
    index: Int[Tensor, "b n"] | None = None


@dataclass(frozen=True)
class Pixels:
    """The level of the image memory that a layer reads, and which of its pixels each row may see (True = may)."""

    keys: Float[Tensor, "b p c"]
    values: Float[Tensor, "b p c"]
    visible: Bool[Tensor, "b n p"]


class Attention(nn.Module):
    """Multi-head attention in three separate steps (project, attend, merge), with torch's packed parameters."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} is not a multiple of {heads} heads")
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def _project(self, x: Float[Tensor, "b n c"], part: slice) -> Float[Tensor, "b n k c"]:
        width = x.shape[-1]
        rows = slice(part.start * width, part.stop * width)
        y = F.linear(x, self.in_proj_weight[rows], self.in_proj_bias[rows])
        return y.unflatten(-1, (part.stop - part.start, width))

    def queries(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b heads n k"]:
        return self._split(self._project(x, slice(0, 1))[:, :, 0])

    def keys(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b heads n k"]:
        return self._split(self._project(x, slice(1, 2))[:, :, 0])

    def queries_keys(self, x: Float[Tensor, "b n c"]) -> tuple[Tensor, Tensor]:
        both = self._project(x, slice(0, 2))
        return self._split(both[:, :, 0]), self._split(both[:, :, 1])

    def values(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b heads n k"]:
        return self._split(self._project(x, slice(2, 3))[:, :, 0])

    def merge(self, x: Float[Tensor, "b heads n k"]) -> Float[Tensor, "b n c"]:
        return self.out_proj(x.transpose(1, 2).flatten(2))

    def _split(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b heads n k"]:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


def attend(
    queries: Float[Tensor, "b heads n k"],
    keys: Float[Tensor, "b heads l k"],
    values: Float[Tensor, "b heads l k"],
    visible: Bool[Tensor, "b n l"] | None,
) -> Float[Tensor, "b heads n k"]:
    """Scaled dot-product attention; a row that sees no key gets zeros (so its output is the projection's bias)."""
    if visible is None:
        return _dot_product_attention(queries, keys, values, None)
    some = visible.any(dim=-1, keepdim=True)
    out = _dot_product_attention(queries, keys, values, (visible | ~some)[:, None])
    return out.masked_fill(~some[:, None], 0.0)


def _dot_product_attention(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
    if queries.device.type != "cpu":
        return F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
    # On a CPU the fused kernel's backward is two to seven times slower in bfloat16 than in float32.
    wide = torch.promote_types(queries.dtype, torch.float32)
    with torch.autocast("cpu", enabled=False):
        out = F.scaled_dot_product_attention(queries.to(wide), keys.to(wide), values.to(wide), attn_mask=mask)
    return out.to(queries.dtype)


class InterfaceLayer(nn.Module):
    """One layer of the interface's stack; post-norm throughout."""

    def __init__(self, *, width: int, heads: int, feedforward: int) -> None:
        super().__init__()
        self.content_attention = Attention(width, heads)
        self.content_norm = nn.LayerNorm(width)
        self.condition_attention = Attention(width, heads)
        self.condition_norm = nn.LayerNorm(width)
        self.linear1 = nn.Linear(width, feedforward)
        self.linear2 = nn.Linear(feedforward, width)
        self.feedforward_norm = nn.LayerNorm(width)

    def forward(
        self,
        states: dict[Group, GroupState],
        members: Sequence[Member],
        pixels: Pixels | None,
        updated: frozenset[Group],
    ) -> dict[Group, GroupState]:
        """One layer.

        Args:
            states: of every group, sampled tokens of this layer's level included.
            members: the attention table.
            pixels: the level to read; None if no member reads pixels.
            updated: the groups whose values anybody reads after this layer; the others are not computed further.
        """
        states = states | self._read_pixels(states, members, pixels) | self._read_tokens(states, members)
        rows = [member for member in members if member.group in updated]
        return states | self._talk(states, rows)

    def _read_pixels(
        self, states: dict[Group, GroupState], members: Sequence[Member], pixels: Pixels | None
    ) -> dict[Group, GroupState]:
        readers = [member.group for member in members if member.content is Group.PIXELS]
        if not readers:
            return {}
        attention = self.content_attention
        values, placed = _concatenate(states, readers)
        out = attend(
            attention.queries(placed),
            attention.keys(pixels.keys),
            attention.values(pixels.values),
            pixels.visible,
        )
        return _replaced(states, readers, self.content_norm(values + attention.merge(out)))

    def _read_tokens(self, states: dict[Group, GroupState], members: Sequence[Member]) -> dict[Group, GroupState]:
        """Readers of a group that this forward does not have see no key, like rows with nothing to see."""
        readers = [member for member in members if member.content not in (None, Group.PIXELS)]
        sources = [group for group in dict.fromkeys(member.content for member in readers) if group in states]
        if not readers:
            return {}
        attention = self.content_attention
        groups = [member.group for member in readers]
        values, placed = _concatenate(states, groups)
        if not sources:
            return _replaced(states, groups, self.content_norm(values + attention.out_proj.bias))
        queries = _pieces(attention.queries(placed), states, groups)
        source_values, source_placed = _concatenate(states, sources)
        keys = dict(zip(sources, _pieces(attention.keys(source_placed), states, sources), strict=True))
        contents = dict(zip(sources, _pieces(attention.values(source_values), states, sources), strict=True))
        out = [
            attend(query, keys[m.content], contents[m.content], _visible(states, m))
            if m.content in states
            else torch.zeros_like(query)
            for query, m in zip(queries, readers, strict=True)
        ]
        return _replaced(states, groups, self.content_norm(values + attention.merge(torch.cat(out, dim=2))))

    def _talk(self, states: dict[Group, GroupState], rows: Sequence[Member]) -> dict[Group, GroupState]:
        attention = self.condition_attention
        groups = [member.group for member in rows]
        partners = [g for m in rows for g in m.condition if g in states and g not in groups]
        only_read = list(dict.fromkeys(partners))
        values, placed = _concatenate(states, groups)
        queries, row_keys = attention.queries_keys(placed)
        queries = _pieces(queries, states, groups)
        keys = dict(zip(groups, _pieces(row_keys, states, groups), strict=True))
        contents = dict(zip(groups, _pieces(attention.values(values), states, groups), strict=True))
        if only_read:
            read_values, read_placed = _concatenate(states, only_read)
            keys |= zip(only_read, _pieces(attention.keys(read_placed), states, only_read), strict=True)
            contents |= zip(only_read, _pieces(attention.values(read_values), states, only_read), strict=True)
        out = []
        for query, member in zip(queries, rows, strict=True):
            seen = [group for group in member.condition if group in states]
            out.append(
                attend(
                    query,
                    torch.cat([keys[group] for group in seen], dim=2),
                    torch.cat([contents[group] for group in seen], dim=2),
                    _unpadded([states[group] for group in seen], query.shape[2]),
                )
            )
        x = self.condition_norm(values + attention.merge(torch.cat(out, dim=2)))
        x = self.feedforward_norm(x + self.linear2(F.relu(self.linear1(x))))
        return _replaced(states, groups, x)


def _concatenate(states: dict[Group, GroupState], groups: Iterable[Group]) -> tuple[Tensor, Tensor]:
    """The groups' values side by side, bare and with positions added: each (b, sum of n, c)."""
    values = torch.cat([states[group].values for group in groups], dim=1)
    return values, values + torch.cat([states[group].positions for group in groups], dim=1)


def _pieces(x: Tensor, states: dict[Group, GroupState], groups: Sequence[Group]) -> tuple[Tensor, ...]:
    return x.split([states[group].values.shape[1] for group in groups], dim=-2)


def _replaced(states: dict[Group, GroupState], groups: Sequence[Group], values: Tensor) -> dict[Group, GroupState]:
    pieces = _pieces(values, states, groups)
    return {group: replace(states[group], values=piece) for group, piece in zip(groups, pieces, strict=True)}


def _visible(states: dict[Group, GroupState], member: Member) -> Bool[Tensor, "b n l"] | None:
    """Which tokens of its content each row of a group may see: not padding and, by index, its own."""
    reader, source = states[member.group], states[member.content]
    if member.by_index:
        same = reader.index[:, :, None] == source.index[:, None]
        return same if source.padding is None else same & ~source.padding[:, None]
    return _unpadded([source], reader.values.shape[1])


def _unpadded(sources: Sequence[GroupState], rows: int) -> Bool[Tensor, "b n l"] | None:
    if all(source.padding is None for source in sources):
        return None
    paddings = [
        source.values.new_zeros(source.values.shape[:2], dtype=torch.bool) if source.padding is None else source.padding
        for source in sources
    ]
    return ~torch.cat(paddings, dim=1)[:, None].expand(-1, rows, -1)
