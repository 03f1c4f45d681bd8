"""The layer's grouped attention is one dense attention under one big mask."""

import pytest
import torch
from torch import Tensor, nn

from find.interface import Group, Member, Start
from find.interface.attention import Attention, GroupState, InterfaceLayer, Pixels, attend, attend_folded
from find.tasks import generic, grounding, interactive, interleaved, retrieval

WIDTH, HEADS, BATCH = 24, 4, 2
MEMBERS = (
    generic.PROTOTYPE.members
    + grounding.PROTOTYPE.members
    + interactive.PROTOTYPE.members
    + (interleaved.SEGMENTATION + interleaved.RETRIEVAL).members
    + retrieval.PROTOTYPE.members
)


def random_states(seed: int, members: tuple[Member, ...]) -> dict[Group, GroupState]:
    """A few members a group; tokens and prompted queries have random padding and indices from -1 to 2."""
    g = torch.Generator().manual_seed(seed)
    states = {}
    for number, member in enumerate(members):
        n = 2 + number % 4
        values, positions = torch.randn(2, BATCH, n, WIDTH, generator=g, dtype=torch.double)
        state = GroupState(values, positions)
        if member.by_index or member.start in (Start.TOKENS, Start.SAMPLES):
            padding = torch.rand(BATCH, n, generator=g) < 0.3
            state = GroupState(values, positions, padding, torch.randint(-1, 3, (BATCH, n), generator=g))
        states[member.group] = state
    return states


def random_pixels(seed: int, rows: int) -> Pixels:
    g = torch.Generator().manual_seed(seed)
    values = torch.randn(BATCH, 11, WIDTH, generator=g, dtype=torch.double)
    positions = torch.randn(11, WIDTH, generator=g, dtype=torch.double)
    shift = torch.randn(WIDTH, generator=g, dtype=torch.double)
    visible = torch.rand(BATCH, rows, 11, generator=g) < 0.4
    visible[..., 0] = True
    return Pixels(values + positions, values, shift, visible)


def random_layer(seed: int) -> InterfaceLayer:
    torch.manual_seed(seed)
    layer = InterfaceLayer(width=WIDTH, heads=HEADS, feedforward=32).double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    return layer


def dense_attention(attention: Attention, queries: Tensor, keys: Tensor, values: Tensor, allowed: Tensor) -> Tensor:
    """torch's own multi-head attention with the same parameters; rows that may see nothing give the output bias."""
    dense = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True).double()
    dense.load_state_dict(attention.state_dict())
    some = allowed.any(-1, keepdim=True)
    blocked = ~(allowed | ~some).repeat_interleave(HEADS, dim=0)
    out = dense(queries, keys, values, attn_mask=blocked, need_weights=False)[0]
    return torch.where(some, out, attention.out_proj.bias)


def dense_layer(
    layer: InterfaceLayer,
    states: dict[Group, GroupState],
    members: tuple[Member, ...],
    pixels: Pixels,
    updated: frozenset[Group],
) -> dict[Group, Tensor]:
    """All groups side by side, every rule of the attention table a block of one boolean mask."""
    groups = list(states)
    sizes = [states[group].values.shape[1] for group in groups]
    rows = dict(zip(groups, torch.arange(sum(sizes)).split(sizes), strict=True))
    x = torch.cat([states[group].values for group in groups], dim=1)
    positions = torch.cat([states[group].positions for group in groups], dim=1)
    padding = torch.cat(
        [
            torch.zeros(state.values.shape[:2], dtype=torch.bool) if state.padding is None else state.padding
            for state in states.values()
        ],
        dim=1,
    )

    content = torch.zeros(BATCH, sum(sizes), sum(sizes) + 11, dtype=torch.bool)
    condition = torch.zeros(BATCH, sum(sizes), sum(sizes), dtype=torch.bool)
    reading, seen = torch.zeros(sum(sizes), dtype=torch.bool), 0
    for member in members:
        own = rows[member.group]
        for partner in member.condition:
            if partner in rows:
                condition[:, own[:, None], rows[partner]] = ~padding[:, None, rows[partner]]
        if member.content is None:
            continue
        reading[own] = True
        if member.content is Group.PIXELS:
            content[:, own, sum(sizes) :] = pixels.visible[:, seen : seen + len(own)]
            seen += len(own)
        elif member.content in rows:
            there = rows[member.content]
            may = ~padding[:, None, there].expand(-1, len(own), -1)
            if member.by_index:
                may = may & (states[member.group].index[:, :, None] == states[member.content].index[:, None])
            content[:, own[:, None], there] = may

    keys = torch.cat([x + positions, pixels.keys + pixels.shift], dim=1)
    contents = torch.cat([x, pixels.values + pixels.shift], dim=1)
    read = dense_attention(layer.content_attention, x + positions, keys, contents, content)
    x = torch.where(reading[:, None], layer.content_norm(x + read), x)

    talked = dense_attention(layer.condition_attention, x + positions, x + positions, x, condition)
    y = layer.condition_norm(x + talked)
    y = layer.feedforward_norm(y + layer.linear2(layer.linear1(y).relu()))
    changed = torch.zeros(sum(sizes), dtype=torch.bool)
    for member in members:
        changed[rows[member.group]] = member.group in updated
    x = torch.where(changed[:, None], y, x)
    return {group: x[:, rows[group]] for group in groups}


ALL = frozenset(member.group for member in MEMBERS if member.start is not Start.SAMPLES)
PREDICTING = frozenset(member.group for member in MEMBERS if member.predicts)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("updated", [ALL, PREDICTING], ids=["every group", "only what is read"])
def test_layer_is_one_dense_attention_under_one_big_mask(seed, updated):
    states = random_states(seed, MEMBERS)
    readers = [m.group for m in MEMBERS if m.content is Group.PIXELS]
    pixels = random_pixels(seed, sum(states[group].values.shape[1] for group in readers))
    layer = random_layer(seed)
    found = layer(states, MEMBERS, pixels, updated)
    for group, expected in dense_layer(layer, states, MEMBERS, pixels, updated).items():
        torch.testing.assert_close(found[group].values, expected, msg=lambda m, g=group: f"{g.value}: {m}")


def test_layer_without_region_tokens_lets_words_see_nothing():
    """A text-only sentence brings no samples: its words get what words beside nobody's region get."""
    members = tuple(m for m in MEMBERS if m.group is not Group.REGION_TOKENS)
    states = random_states(5, members)
    readers = [m.group for m in members if m.content is Group.PIXELS]
    pixels = random_pixels(5, sum(states[group].values.shape[1] for group in readers))
    layer = random_layer(5)
    found = layer(states, members, pixels, ALL)
    for group, expected in dense_layer(layer, states, members, pixels, ALL).items():
        torch.testing.assert_close(found[group].values, expected)


def test_words_alone_need_neither_pixels_nor_regions():
    """With no source of content present at all, the words still pass content attention with its bias only."""
    members = (
        Member(
            Group.INTERLEAVED_TOKENS,
            Start.TOKENS,
            content=Group.REGION_TOKENS,
            by_index=True,
            condition=(Group.INTERLEAVED_TOKENS,),
            predicts=False,
        ),
    )
    states = random_states(1, members)
    layer = random_layer(1)
    found = layer(states, members, None, frozenset(states))
    expected = dense_layer(layer, states, members, random_pixels(1, 0), frozenset(states))
    torch.testing.assert_close(found[Group.INTERLEAVED_TOKENS].values, expected[Group.INTERLEAVED_TOKENS])


def test_row_that_sees_no_key_gives_exactly_the_output_bias():
    torch.manual_seed(0)
    attention = Attention(WIDTH, HEADS)
    nn.init.normal_(attention.out_proj.bias)
    x = torch.randn(1, 3, WIDTH)
    visible = torch.tensor([[[True, False, True], [False, False, False], [False, True, False]]])
    out = attention.merge(attend(*(project(x) for project in attention.projections()), visible))
    torch.testing.assert_close(out[0, 1], attention.out_proj.bias, rtol=0, atol=0)
    assert not torch.allclose(out[0, 0], attention.out_proj.bias)


@pytest.mark.parametrize("masked", [False, True])
def test_few_rows_read_unprojected_tokens_as_they_read_projected_ones(masked):
    torch.manual_seed(0)
    attention = Attention(WIDTH, HEADS).double()
    nn.init.normal_(attention.in_proj_bias)
    rows, tokens, positions = (torch.randn(BATCH, n, WIDTH, dtype=torch.double) for n in (3, 9, 9))
    visible = torch.rand(BATCH, 3, 9) < 0.3 if masked else None
    if masked:
        visible[0, 1] = False  # a row that sees nothing
    query, key, value = attention.projections()
    found = attend_folded(query(rows), key, value, tokens + positions, tokens, visible)
    torch.testing.assert_close(found, attend(query(rows), key(tokens + positions), value(tokens), visible))


def test_row_that_sees_no_key_has_finite_gradients():
    torch.manual_seed(0)
    x = torch.randn(1, 3, WIDTH, requires_grad=True)
    attention = Attention(WIDTH, HEADS)
    blind = torch.zeros(1, 3, 3, dtype=torch.bool)
    attend(*(project(x) for project in attention.projections()), blind).sum().backward()
    torch.testing.assert_close(x.grad, torch.zeros_like(x))


def test_width_that_heads_do_not_divide_is_refused():
    with pytest.raises(ValueError, match="width 10 is not a multiple of 4 heads"):
        Attention(10, 4)
