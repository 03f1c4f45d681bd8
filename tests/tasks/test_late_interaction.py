"""Claims about late interaction."""

import pytest
import torch
from torch.nn.functional import normalize

from find.tasks.late_interaction import late_interaction, match_entities


def _inputs(q=5, e=3, i=7, n=4, d=6, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def unit(*shape):
        return normalize(torch.randn(*shape, d, generator=generator), dim=-1)

    padding = torch.rand(q, e, generator=generator) < 0.4
    padding[0] = False
    padding[1:2] = True
    return unit(i), unit(i, n), unit(q), unit(q, e), padding


def _naive(images, objects, queries, entities, padding, weight):
    scores = torch.zeros(len(queries), len(images))
    for a in range(len(queries)):
        for b in range(len(images)):
            terms = [
                max(float(entities[a, k] @ vector) for vector in objects[b])
                for k in range(entities.shape[1])
                if not padding[a, k]
            ]
            scores[a, b] = float(queries[a] @ images[b])
            if terms:
                scores[a, b] += weight * sum(terms) / len(terms)
    return scores


@pytest.mark.parametrize("max_elements", [1, 13, 40, 1 << 24])
def test_equals_the_definition_written_as_loops_whatever_the_chunks(max_elements):
    inputs = _inputs()
    scores = late_interaction(*inputs, entity_weight=0.5, max_elements=max_elements)
    torch.testing.assert_close(scores, _naive(*inputs, 0.5), atol=1e-6, rtol=0)


def test_a_hand_computed_score():
    images = torch.tensor([[1.0, 0.0]])
    objects = torch.tensor([[[1.0, 0.0], [0.6, 0.8]]])
    queries = torch.tensor([[0.8, 0.6]])
    entities = torch.tensor([[[0.0, 1.0], [1.0, 0.0]]])
    scores = late_interaction(images, objects, queries, entities, torch.tensor([[False, False]]))
    assert scores.item() == pytest.approx(0.8 + 0.5 * (0.8 + 1.0) / 2)


def test_content_of_padding_changes_nothing():
    images, objects, queries, entities, padding = _inputs()
    other = torch.where(padding[..., None], torch.full_like(entities, float("nan")), entities)
    expected = late_interaction(images, objects, queries, entities, padding)
    torch.testing.assert_close(late_interaction(images, objects, queries, other, padding), expected)


def test_order_of_entities_changes_nothing():
    images, objects, queries, entities, padding = _inputs()
    expected = late_interaction(images, objects, queries, entities, padding)
    flipped = late_interaction(images, objects, queries, entities.flip(1), padding.flip(1))
    torch.testing.assert_close(flipped, expected)


def test_queries_without_entities_score_by_their_sentence():
    images, objects, queries, entities, _ = _inputs()
    none = late_interaction(images, objects, queries, entities[:, :0], torch.zeros(5, 0, dtype=torch.bool))
    torch.testing.assert_close(none, queries @ images.T)
    padded = late_interaction(images, objects, queries, entities, torch.ones(5, entities.shape[1], dtype=torch.bool))
    torch.testing.assert_close(padded, queries @ images.T)


def test_half_precision_album_keeps_the_ranking_close():
    images, objects, queries, entities, padding = _inputs()
    exact = late_interaction(images, objects, queries, entities, padding)
    stored = late_interaction(images.half(), objects.half(), queries, entities, padding)
    assert stored.dtype == torch.float32
    torch.testing.assert_close(stored, exact, atol=2e-3, rtol=0)


def test_gradients_reach_the_best_object_only():
    images, objects, queries, entities, padding = _inputs(q=1, e=1, i=1)
    objects.requires_grad_(True)
    padding[:] = False
    late_interaction(images, objects, queries, entities, padding).sum().backward()
    best = match_entities(objects, entities).object_index.item()
    touched = objects.grad.abs().sum(-1)[0].nonzero().flatten().tolist()
    assert touched == [best]


@pytest.mark.parametrize("max_elements", [None, 700, 20000])
def test_large_products_in_blocks_equal_the_definition_with_and_without_gradients(max_elements):
    """So large that blocks end within the images and within the entities, and that oneDNN takes the products."""
    images, objects, queries, entities, padding = _inputs(q=60, e=4, i=50, n=30, d=48)
    similarity = torch.einsum("qed,ind->qein", entities.double(), objects.double()).amax(dim=-1)
    kept = (~padding).double()[..., None]
    term = (similarity * kept).sum(dim=1) / kept.sum(dim=1).clamp(min=1)
    expected = queries.double() @ images.double().T + 0.5 * term
    plain = late_interaction(images, objects, queries, entities, padding, max_elements=max_elements)
    torch.testing.assert_close(plain.double(), expected, atol=1e-6, rtol=0)
    objects.requires_grad_(True)
    learned = late_interaction(images, objects, queries, entities, padding, max_elements=max_elements)
    torch.testing.assert_close(learned.double(), expected, atol=1e-6, rtol=0)
