"""What the stack promises: two independent halves, rows and padding that do not leak, and masked attention."""

from collections.abc import Iterable
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from small import Inputs, small_interface
from torch import Tensor

from find.interface import Embeddings, Group, Outputs, Prompt, Slots
from find.interface.heads import mean_inside
from find.interface.interface import _resized
from find.interface.sampler import mean_under
from find.interface.types import AlignedMap
from find.tasks import generic, interleaved, retrieval

PROMPTED = {
    Group.DESCRIPTION: "text_slots_padding",
    Group.SPATIAL: "strokes_padding",
    Group.INTERLEAVED_ENTITY: "entities_padding",
}
"""Groups with padded slots, and the field of `Inputs` that says which."""


@pytest.fixture(scope="module")
def interface():
    return small_interface()


@pytest.fixture(scope="module")
def inputs():
    return Inputs.random()


@pytest.fixture(scope="module")
def joint(interface, inputs) -> Outputs:
    with torch.no_grad():
        return inputs.run(interface)


@pytest.fixture(autouse=True)
def no_grad():
    with torch.no_grad():
        yield


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=2e-5)


def assert_same(found: Embeddings, expected: Embeddings, groups: Iterable[Group]) -> None:
    for group in groups:
        close(found.semantic[group], expected.semantic[group])
        close(found.pixel[group], expected.pixel[group])


# --- the two halves -----------------------------------------------------------------------------------------------


def test_objects_and_image_query_see_no_prompt(interface, inputs, joint):
    alone = interface(inputs.memory(interface), [generic.prompt()]).final
    assert_same(joint.final, alone, (Group.OBJECT, Group.IMAGE))


def test_queries_of_words_and_regions_see_no_target_image(interface, inputs, joint):
    """Their reference regions stay where they were; the image that is searched changes."""
    references = inputs.memory(interface)
    other = inputs.with_image_of(Inputs.random(seed=9)).memory(interface)
    prompts = [inputs.sentence_prompt(interface, references), inputs.caption_prompt(interface)]
    searched = interface(other, prompts).final
    queries = (Group.INTERLEAVED, Group.INTERLEAVED_ENTITY, Group.CAPTION)
    assert_same(searched, joint.final, queries)
    assert (searched.pixel[Group.ENTITY] - joint.final.pixel[Group.ENTITY]).abs().max() > 1e-2


def test_a_query_needs_no_image_at_all(interface, inputs, joint):
    sentence = inputs.sentence_prompt(interface, inputs.memory(interface))
    members = interleaved.RETRIEVAL
    alone = interface(None, [replace(sentence, prototype=members), inputs.caption_prompt(interface)]).final
    assert_same(alone, joint.final, (Group.INTERLEAVED, Group.INTERLEAVED_ENTITY, Group.CAPTION))


def test_proposals_without_an_image_are_refused(interface):
    with pytest.raises(ValueError, match="object proposals read pixels, but no image memory"):
        interface(None, [generic.prompt()])


def test_tasks_do_not_disturb_each_other(interface, inputs, joint):
    """Grounding, interaction and the sentence, each alone, give what they give together."""
    memory = inputs.memory(interface)
    for prompt in inputs.prompts(interface, memory):
        alone = interface(memory, [prompt]).final
        assert_same(alone, joint.final, alone.semantic)


# --- rows, padding, order -----------------------------------------------------------------------------------------


def test_batch_of_two_is_two_batches_of_one(interface, inputs, joint):
    for row in range(2):
        single = inputs.each(lambda x, row=row: x[row : row + 1]).run(interface).final
        for group in single.semantic:
            close(single.semantic[group][0], joint.final.semantic[group][row])
            close(single.pixel[group][0], joint.final.pixel[group][row])


def test_more_padding_changes_nothing(interface, inputs, joint):
    """Two more (padding) texts, strokes, entities, and three more padding words whose features are noise."""

    def longer(x: Tensor, dim: int, count: int, value: object) -> Tensor:
        shape = list(x.shape)
        shape[dim] = count
        more = torch.randn(shape) if value is None else torch.full(shape, value, dtype=x.dtype)
        return torch.cat([x, more], dim=dim)

    padded = replace(
        inputs,
        texts=longer(longer(inputs.texts, 1, 2, None), 2, 3, None),
        texts_padding=longer(longer(inputs.texts_padding, 1, 2, True), 2, 3, True),
        pooled_texts=longer(inputs.pooled_texts, 1, 2, None),
        text_slots_padding=longer(inputs.text_slots_padding, 1, 2, True),
        strokes=longer(inputs.strokes, 1, 2, True),
        strokes_padding=longer(inputs.strokes_padding, 1, 2, True),
        words=longer(inputs.words, 1, 3, None),
        words_padding=longer(inputs.words_padding, 1, 3, True),
        entity_of_word=longer(inputs.entity_of_word, 1, 3, -1),
        is_region=longer(inputs.is_region, 1, 2, False),
        pooled_phrases=longer(inputs.pooled_phrases, 1, 2, None),
        entities_padding=longer(inputs.entities_padding, 1, 2, True),
        regions=longer(inputs.regions, 1, 2, True),
        caption=longer(inputs.caption, 1, 3, None),
        caption_padding=longer(inputs.caption_padding, 1, 3, True),
    ).run(interface)
    for group, expected in joint.final.semantic.items():
        found = padded.final.semantic[group][:, : expected.shape[1]]
        unused = getattr(inputs, PROMPTED[group]) if group in PROMPTED else torch.zeros(found.shape[:2]).bool()
        close(found[~unused], expected[~unused])


def test_permuting_prompts_permutes_answers(interface):
    """Texts, strokes and entities in another order; proposals, which compete for all of them, do not change."""
    inputs = Inputs.random(seed=3, batch=1)
    before = inputs.run(interface).final
    order = torch.tensor([2, 0, 1])
    place = order.argsort()
    numbers = torch.where(inputs.entity_of_word >= 0, place[inputs.entity_of_word.clamp(min=0)], -1)
    changed = replace(
        inputs,
        texts=inputs.texts[:, order],
        texts_padding=inputs.texts_padding[:, order],
        pooled_texts=inputs.pooled_texts[:, order],
        strokes=inputs.strokes[:, order],
        entity_of_word=numbers,
        is_region=inputs.is_region[:, order],
        pooled_phrases=inputs.pooled_phrases[:, order],
        regions=inputs.regions[:, order],
    )
    after = changed.run(interface).final
    for group in PROMPTED:
        close(after.semantic[group], before.semantic[group][:, order])
        close(after.pixel[group], before.pixel[group][:, order])
        assert (before.semantic[group][:, 0] - before.semantic[group][:, 1]).abs().max() > 1e-2
    others = [group for group in before.semantic if group not in PROMPTED]
    assert_same(after, before, others)


def test_a_stroke_is_answered_by_what_lies_under_it(interface):
    """Each spatial query reads its own stroke first: moving stroke 0 moves query 0 more than query 1."""
    inputs = Inputs.random(seed=3, batch=1)
    before = inputs.run(interface).final.semantic[Group.SPATIAL]
    strokes = inputs.strokes.clone()
    strokes[:, 0] = strokes[:, 0].roll((20, 30), dims=(-2, -1))
    after = replace(inputs, strokes=strokes).run(interface).final.semantic[Group.SPATIAL]
    moved = (after - before).norm(dim=-1)[0]
    assert moved[0] > moved[1] > 0 and moved[0] > moved[2] > 0


# --- depth --------------------------------------------------------------------------------------------------------


def test_deep_predictions_end_in_the_final_one_and_start_with_the_initial_queries(interface, inputs, joint):
    deep = inputs.run(interface, deep=True)
    assert len(deep.layers) == len(interface.layers) + 1 and len(joint.layers) == 1
    assert_same(deep.final, joint.final, joint.final.semantic)
    normed = interface.heads.norm(interface.query_features)
    close(deep.layers[0].pixel[Group.OBJECT], interface.heads.pixel(normed[:-1]).expand(2, -1, -1))
    sentence = interface.heads.semantic(normed[-1:]).expand(2, -1, -1)
    sentence = interface.residual(sentence, inputs.pooled_sentence[:, None])
    close(deep.layers[0].semantic[Group.INTERLEAVED], sentence)


def test_shallower_stack_is_a_prefix_of_a_deeper_one(inputs):
    deep = inputs.run(small_interface(layers=4), deep=True)
    shallow = small_interface(layers=3)
    shallow.load_state_dict(small_interface(layers=4).state_dict(), strict=False)
    close(inputs.run(shallow).final.semantic[Group.OBJECT], deep.layers[3].semantic[Group.OBJECT])


# --- masked attention ---------------------------------------------------------------------------------------------


def test_proposals_see_the_pixels_inside_their_own_resized_mask(interface, inputs):
    """Against the textbook order: draw the mask of every proposal at full size, resize it, threshold at 1/2."""
    seen = []
    hooks = [layer.register_forward_pre_hook(lambda _, args: seen.append(args)) for layer in interface.layers]
    memory = inputs.memory(interface)
    interface(memory, [generic.prompt()])
    for hook in hooks:
        hook.remove()
    assert len(seen) == len(interface.layers)
    for number, (states, _, pixels, _) in enumerate(seen):
        embedding = interface.heads.pixel(interface.heads.norm(states[Group.OBJECT].values))
        masks = torch.einsum("bnm,bmhw->bnhw", embedding, memory.mask_features)
        masks = F.interpolate(masks, memory.shapes[number % 3], mode="bilinear", align_corners=False)
        inside = masks.flatten(2) >= 0
        sure = masks.flatten(2).abs() > 1e-4
        expected = inside | ~inside.any(-1, keepdim=True)
        objects, image = pixels.visible[:, :-1], pixels.visible[:, -1]
        assert (objects == expected)[sure].all() and image.all()
        assert 0.02 < expected.float().mean() < 0.98


def half_seen(interface, memory, inside: float):
    """A memory whose attention features put the left half of every level inside every mask, if `inside` is positive."""
    features = []
    for h, w in memory.shapes:
        sign = torch.full((h, w), -1.0)
        sign[:, : w // 2 + w % 2] = inside
        features.append(torch.cat([sign.flatten()[None], torch.zeros(15, h * w)]).expand(memory.batch, -1, -1))
    return replace(memory, attention_features=tuple(features))


def other_right_half(memory):
    """The memory with other content in the right half of every level."""
    levels = []
    for level, (h, w) in zip(memory.levels, memory.shapes, strict=True):
        grid = level.unflatten(1, (h, w)).clone()
        grid[:, :, w // 2 + w % 2 :] = torch.randn_like(grid[:, :, w // 2 + w % 2 :])
        levels.append(grid.flatten(1, 2))
    return replace(memory, levels=tuple(levels))


def test_pixels_outside_a_mask_are_not_read_by_its_proposal(inputs):
    """All masks are the sign of feature 0: the left half. The image query, which is not masked, sees the right."""
    interface = small_interface()
    interface.heads.pixel.layers[-1].weight.zero_()
    interface.heads.pixel.layers[-1].bias.copy_(F.one_hot(torch.tensor(0), 16).float())
    memory = half_seen(interface, inputs.memory(interface), inside=1.0)
    before = interface(memory, [generic.prompt()]).final.semantic
    after = interface(other_right_half(memory), [generic.prompt()]).final.semantic
    close(after[Group.OBJECT], before[Group.OBJECT])
    assert (after[Group.IMAGE] - before[Group.IMAGE]).abs().max() > 1e-2


def test_a_proposal_with_an_empty_mask_sees_everything(inputs):
    interface = small_interface()
    interface.heads.pixel.layers[-1].weight.zero_()
    interface.heads.pixel.layers[-1].bias.copy_(F.one_hot(torch.tensor(0), 16).float())
    memory = inputs.memory(interface)
    empty = half_seen(interface, memory, inside=-1.0)
    full = replace(memory, attention_features=tuple(torch.ones_like(f) for f in memory.attention_features))
    close(
        interface(empty, [generic.prompt()]).final.semantic[Group.OBJECT],
        interface(full, [generic.prompt()]).final.semantic[Group.OBJECT],
    )


# --- small parts --------------------------------------------------------------------------------------------------


def test_similarity_is_the_cosine_times_a_temperature_of_at_most_100(interface):
    a, b = torch.randn(1, 2, 20), torch.randn(1, 3, 20)
    cosine = F.cosine_similarity(a[:, :, None], b[:, None], dim=-1)
    close(interface.similarity(a, b), cosine * interface.logit_scale.exp())
    hot = small_interface()
    hot.logit_scale.fill_(9.0)
    close(hot.similarity(a, b), 100 * cosine)


def test_foundation_residual_keeps_the_foundations_order(interface):
    """Its projection is orthogonal at the start: alone it compares as the foundations' own embeddings do."""
    pooled = torch.randn(5, 1, 6)
    embedding = torch.randn(5, 1, 20)
    own = interface.residual(embedding, pooled) - F.normalize(embedding, dim=-1)
    found = F.normalize(own[:, 0], dim=-1)
    unit = F.normalize(pooled[:, 0], dim=-1)
    close(found @ found.T, unit @ unit.T)
    close(interface.residual(embedding, torch.zeros(5, 1, 6)), F.normalize(embedding, dim=-1))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_gives_nearly_the_same_numbers(interface, inputs, joint, dtype):
    """Under autocast; where a foundation has no embedding of a member, its zeros add nothing there too."""
    with torch.autocast("cpu", dtype=dtype):
        found = inputs.run(interface).final
    for group, expected in joint.final.semantic.items():
        cosine = F.cosine_similarity(found.semantic[group].float(), expected, dim=-1)
        assert (cosine > 0.9).all(), group  # a pixel at the edge of a mask may be in or out


def test_words_may_come_in_half_precision(interface, inputs):
    tokens = inputs.caption.bfloat16()
    found = interface.project_text_tokens(tokens, inputs.caption_padding).values
    close(found, interface.project_text_tokens(tokens.float(), inputs.caption_padding).values)


def test_a_proposal_gets_the_mean_of_the_aligned_features_inside_its_mask():
    mask_features = torch.tensor([[[50.0, 50.0, -50.0, -50.0]]])
    values = torch.tensor([[[1.0, 0.0], [3.0, 0.0], [0.0, 8.0], [0.0, 8.0]]])
    aligned = AlignedMap(values, (2, 2), mask_features)
    found = mean_inside(torch.tensor([[[1.0], [-1.0]]]), aligned)
    close(found, torch.tensor([[[2.0, 0.0], [0.0, 8.0]]]))


def test_a_region_gets_the_mean_of_the_aligned_features_under_it():
    values = torch.tensor([[[1.0], [3.0], [5.0], [7.0]], [[10.0], [30.0], [50.0], [70.0]]])
    aligned = AlignedMap(values, (2, 2), torch.zeros(2, 1, 4))
    masks = torch.zeros(1, 3, 2, 2, dtype=torch.bool)
    masks[0, 0, 0] = masks[0, 1, :, 1] = masks[0, 2] = True
    rows = torch.tensor([[0, 1, -1]])
    close(mean_under(aligned, masks, rows, points=4), torch.tensor([[[2.0], [50.0], [0.0]]]))


def test_what_the_foundations_say_of_places_reaches_proposals_regions_and_texts(inputs):
    """With an interface that says nothing of its own, similarities are the foundations'."""
    interface = small_interface()
    interface.heads.semantic.weight.data.zero_()
    interface.residual.gain.data.fill_(1)
    aligned = torch.randn(2, 6, 4, 4)
    memory = interface.encode_image(inputs.maps, None, aligned)
    final = interface(memory, [generic.prompt()]).final
    own = mean_inside(final.pixel[Group.OBJECT], memory.aligned)
    texts, names = torch.randn(3, 6), torch.randn(3, 5, interface.text_projection.in_features)
    written = retrieval.embed_texts(interface, names, torch.zeros(3, 5, dtype=torch.bool), texts)
    cosines = F.normalize(own, dim=-1) @ F.normalize(texts, dim=-1).T
    found = interface.similarity(final.semantic[Group.OBJECT], written.expand(2, -1, -1))
    close(found, cosines * interface.logit_scale.exp())


def test_slots_number_their_queries():
    padding = torch.tensor([[False, True], [False, False]])
    assert Slots.of(padding).index.tolist() == [[0, 1], [0, 1]]


def test_a_group_without_slots_is_one_image_query(interface, inputs):
    final = interface(None, [inputs.caption_prompt(interface)]).final
    assert final.semantic[Group.CAPTION].shape == (2, 1, 20)
    assert Prompt.join([]).prototype.members == ()


@pytest.mark.parametrize(
    ("side", "shape"), [((32, 48), (4, 6)), ((32, 48), (16, 24)), ((30, 45), (10, 15)), ((17, 9), (5, 3))]
)
def test_mask_features_shrink_as_bilinear_resizing_does(side, shape):
    features = torch.randn(2, 3, *side)
    plain = F.interpolate(features, size=shape, mode="bilinear", align_corners=False)
    torch.testing.assert_close(_resized(features, shape), plain.flatten(2))


@torch.enable_grad()
@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_every_weight_learns_the_same_under_autocast(dtype, deep):
    """Of outputs, not of losses: what only losses read is left out. Gradients point where float32's do."""

    def gradients(*, enabled: bool) -> dict[str, Tensor]:
        interface = small_interface().train()
        with torch.autocast("cpu", dtype=dtype, enabled=enabled):
            outputs = Inputs.random().run(interface, deep=deep)
        spaces = [space for layer in outputs.layers for space in (layer.semantic, layer.pixel)]
        torch.stack([x.float().square().sum() for space in spaces for x in space.values()]).sum().backward()
        return {name: p.grad for name, p in interface.named_parameters() if p.grad is not None}

    expected, found = gradients(enabled=False), gradients(enabled=True)
    assert found.keys() == expected.keys() and {name for name in expected if "heads" in name}
    for name in expected:
        one, other = expected[name].flatten(), found[name].flatten()
        if one.any():
            assert torch.cosine_similarity(one, other, dim=0) > 0.9, name  # masks and ReLUs may flip
