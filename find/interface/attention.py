"""The attention stack's layer: content attention, condition attention, feed-forward (paper, 3.2; Eq. 2-4).

Groups that do not attend to each other never share an attention matrix: projections run once over the concatenation
of all groups, the attention itself once per group, over the keys that this group may attend to.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from find.interface.prototype import Member
from find.interface.types import Group, GroupName


@dataclass(frozen=True)
class GroupState:
    """A group inside the stack: what changes (`values`) and what stays (`positions`, `padding`, `index`)."""

    values: Float[Tensor, "b n c"]
    positions: Float[Tensor, "b n c"]
    padding: Bool[Tensor, "b n"] | None = None
    index: Int[Tensor, "b n"] | None = None


@dataclass(frozen=True)
class Pixels:
    """The level of the image memory that a layer reads.

    keys, values: of its pixels; `shift`, the level's embedding, is to be added to all of them. It is separate so that
    pixels without trainable parts need no gradient.
    visible: which pixels each row may see (True = may); at least one.
    projected: the result of `InterfaceLayer.project`, if precomputed.
    """

    keys: Float[Tensor, "b p c"]
    values: Float[Tensor, "b p c"]
    shift: Float[Tensor, " c"]
    visible: Bool[Tensor, "b n p"]
    projected: tuple[Float[Tensor, "b heads p k"], Float[Tensor, "b heads p k"]] | None = None


@dataclass(frozen=True)
class Projection:
    """One of an attention's three input projections. Keys have no bias: softmax ignores a shift of all scores of a
    row."""

    weight: Float[Tensor, "c c"]
    bias: Float[Tensor, " c"] | None
    heads: int

    def __call__(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b heads n k"]:
        return F.linear(x, self.weight, self.bias).unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def unbiased(self) -> "Projection":
        return replace(self, bias=None)

    def by_head(self) -> Float[Tensor, "heads k c"]:
        return self.weight.unflatten(0, (self.heads, -1))


Projections = tuple[Projection, Projection, Projection]
"""Of queries, keys and values."""


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

    def projections(self) -> Projections:
        """The projections of queries, keys and values. Call it once a forward: each split costs a full-size
        gradient."""
        weights, biases = self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3)
        query, key, value = (Projection(*pair, self.heads) for pair in zip(weights, biases, strict=True))
        return query, key.unbiased(), value

    def merge(self, x: Float[Tensor, "b heads n k"]) -> Float[Tensor, "b n c"]:
        return self.out_proj(x.transpose(1, 2).flatten(2))


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


def attend_folded(
    queries: Float[Tensor, "b heads n k"],
    key: Projection,
    value: Projection,
    placed: Float[Tensor, "b l c"],
    values: Float[Tensor, "b l c"],
    visible: Bool[Tensor, "b n l"] | None,
) -> Float[Tensor, "b heads n k"]:
    """`attend` to unprojected tokens: the few query rows are projected into the tokens' space, and their results out of
    it."""
    rows, heads, width = queries.shape[2], key.heads, queries.shape[3]
    asked = (queries @ key.by_head().to(queries.dtype)).flatten(1, 2)[:, None]
    if visible is None:
        some = mask = None
    else:
        some = visible.any(dim=-1, keepdim=True)
        mask = (visible | ~some)[:, None].expand(-1, heads, -1, -1).flatten(1, 2)[:, None]
    found = _dot_product_attention(asked, placed[:, None], values[:, None], mask, scale=width**-0.5)
    out = found[:, 0].unflatten(1, (heads, rows)) @ value.by_head().mT.to(found.dtype)
    if value.bias is not None:
        out = out + value.bias.unflatten(0, (heads, 1, width))
    return out if some is None else out.masked_fill(~some[:, None], 0.0)


def _few_read(rows: int, tokens: int, *, heads: int, width: int) -> bool:
    """Whether `attend_folded` needs fewer multiplications than projecting the tokens."""
    return rows * (width + (heads - 1) * tokens) < tokens * width


def _dot_product_attention(
    queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, scale: float | None = None
) -> Tensor:
    if queries.device.type != "cpu":
        return F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask, scale=scale)
    # On a CPU the fused kernel's backward is two to seven times slower in bfloat16 than in float32.
    wide = torch.promote_types(queries.dtype, torch.float32)
    with torch.autocast("cpu", enabled=False):
        out = F.scaled_dot_product_attention(
            queries.to(wide), keys.to(wide), values.to(wide), attn_mask=mask, scale=scale
        )
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
        states: dict[GroupName, GroupState],
        members: Sequence[Member],
        pixels: Pixels | None,
        updated: frozenset[GroupName],
    ) -> dict[GroupName, GroupState]:
        """One layer.

        Args:
            states: of every group, sampled tokens of this layer's level included.
            members: the attention table.
            pixels: the level to read; None if no member reads pixels.
            updated: the groups whose values are read after this layer; the others are not updated.
        """
        content = self.content_attention.projections()
        states = (
            states | self._read_pixels(states, members, pixels, content) | self._read_tokens(states, members, content)
        )
        rows = [member for member in members if member.group in updated]
        return states | self._talk(states, rows)

    def project(
        self, keys: Float[Tensor, "b p c"], values: Float[Tensor, "b p c"]
    ) -> tuple[Float[Tensor, "b heads p k"], Float[Tensor, "b heads p k"]]:
        """Keys and values of the pixels for the content attention, without the level's shift."""
        _, key, value = self.content_attention.projections()
        return key(keys), value.unbiased()(values)

    def _read_pixels(
        self,
        states: dict[GroupName, GroupState],
        members: Sequence[Member],
        pixels: Pixels | None,
        content: Projections,
    ) -> dict[GroupName, GroupState]:
        readers = [member.group for member in members if member.content is Group.PIXELS]
        if not readers or pixels is None:
            return {}
        query, key, value = content
        values, placed = _concatenate(states, readers)
        keys, contents = pixels.projected or (key(pixels.keys), value.unbiased()(pixels.values))
        out = _dot_product_attention(query(placed), keys, contents, pixels.visible[:, None])
        # The shift adds a constant to all scores of a row, and the same shift to any weighted mean of values.
        out = out + value(pixels.shift.expand(1, 1, -1))
        return _replaced(states, readers, self.content_norm(values + self.content_attention.merge(out)))

    def _read_tokens(
        self, states: dict[GroupName, GroupState], members: Sequence[Member], content: Projections
    ) -> dict[GroupName, GroupState]:
        """Rows that read a group which is absent from this forward get zeros, like rows without visible keys."""
        readers = [member for member in members if member.content not in (None, Group.PIXELS)]
        if not readers:
            return {}
        attention, groups = self.content_attention, [member.group for member in readers]
        values, placed = _concatenate(states, groups)
        queries = _pieces(content[0](placed), states, groups)
        out = [
            torch.zeros_like(query) if m.content not in states else _read(query, states, m, content)
            for query, m in zip(queries, readers, strict=True)
        ]
        return _replaced(states, groups, self.content_norm(values + attention.merge(torch.cat(out, dim=2))))

    def _talk(self, states: dict[GroupName, GroupState], rows: Sequence[Member]) -> dict[GroupName, GroupState]:
        attention = self.condition_attention
        query, key, value = attention.projections()
        groups = [member.group for member in rows]
        only_read = list(dict.fromkeys(g for m in rows for g in m.condition if g in states and g not in groups))
        values, placed = _concatenate(states, groups)
        queries = _pieces(query(placed), states, groups)
        keys = dict(zip(groups, _pieces(key(placed), states, groups), strict=True))
        contents = dict(zip(groups, _pieces(value(values), states, groups), strict=True))
        if only_read:
            read_values, read_placed = _concatenate(states, only_read)
            keys |= zip(only_read, _pieces(key(read_placed), states, only_read), strict=True)
            contents |= zip(only_read, _pieces(value(read_values), states, only_read), strict=True)
        out = []
        for asked, member in zip(queries, rows, strict=True):
            seen = [group for group in member.condition if group in states]
            out.append(
                attend(
                    asked,
                    torch.cat([keys[group] for group in seen], dim=2),
                    torch.cat([contents[group] for group in seen], dim=2),
                    _unpadded([states[group] for group in seen], asked.shape[2]),
                )
            )
        x = self.condition_norm(values + attention.merge(torch.cat(out, dim=2)))
        x = self.feedforward_norm(x + self.linear2(F.relu(self.linear1(x))))
        return _replaced(states, groups, x)


def _read(
    queries: Float[Tensor, "b heads n k"], states: dict[GroupName, GroupState], member: Member, content: Projections
) -> Float[Tensor, "b heads n k"]:
    """Content attention of one group to the tokens of another, by the cheaper of the two formulas."""
    _, key, value = content
    assert member.content is not None
    source, visible = states[member.content], _visible(states, member)
    placed = source.values + source.positions
    _, tokens, width = source.values.shape
    # An exported graph takes any size, so it cannot choose by sizes; both ways give the same.
    if not torch.compiler.is_exporting() and _few_read(queries.shape[2], tokens, heads=key.heads, width=width):
        return attend_folded(queries, key, value, placed, source.values, visible)
    return attend(queries, key(placed), value(source.values), visible)


def _concatenate(states: dict[GroupName, GroupState], groups: Iterable[GroupName]) -> tuple[Tensor, Tensor]:
    """The groups' values side by side, bare and with positions added: each (b, sum of n, c)."""
    values = torch.cat([states[group].values for group in groups], dim=1)
    return values, values + torch.cat([states[group].positions for group in groups], dim=1)


def _pieces(x: Tensor, states: dict[GroupName, GroupState], groups: Sequence[GroupName]) -> tuple[Tensor, ...]:
    return x.split([states[group].values.shape[1] for group in groups], dim=-2)


def _replaced(
    states: dict[GroupName, GroupState], groups: Sequence[GroupName], values: Tensor
) -> dict[GroupName, GroupState]:
    pieces = _pieces(values, states, groups)
    return {group: replace(states[group], values=piece) for group, piece in zip(groups, pieces, strict=True)}


def _visible(states: dict[GroupName, GroupState], member: Member) -> Bool[Tensor, "b n l"] | None:
    """Which tokens of its content each row of a group may see: not padding and, by index, its own."""
    assert member.content is not None
    reader, source = states[member.group], states[member.content]
    if member.by_index:
        assert reader.index is not None and source.index is not None
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
