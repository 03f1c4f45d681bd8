"""Which entity a token belongs to, and which proposal answers a prompt."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from find.tasks.interleaved import entity_of_token
from find.tasks.prompted import best_masks
from find.tasks.regions import own_rows


def owner(offsets: list[tuple[int, int]], spans: list[tuple[int, int]], padding: list[bool] | None = None) -> list[int]:
    flags = torch.tensor([padding or [False] * len(offsets)])
    return entity_of_token(torch.tensor([offsets]), torch.tensor([spans]), flags)[0].tolist()


def test_words_of_a_sentence():
    """'a red dog by [region]': start, four words, the placeholder and the end token."""
    offsets = [(0, 0), (0, 1), (2, 5), (6, 9), (10, 12), (13, 21), (0, 0)]
    assert owner(offsets, [(2, 9), (13, 21)]) == [-1, -1, 0, 0, -1, 1, -1]


def test_span_that_starts_inside_a_token_or_takes_its_space_owns_the_token():
    assert owner([(0, 3), (4, 9)], [(2, 4)]) == [0, -1]
    assert owner([(0, 3), (3, 9)], [(4, 9)]) == [-1, 0]  # tokenizers that count the space to the word


def test_touching_ends_do_not_overlap():
    assert owner([(0, 4), (4, 8)], [(4, 8)]) == [-1, 0]


def test_first_of_overlapping_spans_wins_and_padding_owns_nothing():
    assert owner([(0, 4)], [(2, 6), (0, 4)]) == [0]
    assert owner([(0, 4)], [(0, 0), (0, 4), (0, 0)]) == [1]
    assert owner([(0, 4), (5, 8)], [(0, 8)], padding=[False, True]) == [0, -1]


@given(st.lists(st.tuples(st.text("ab", min_size=1, max_size=4), st.booleans()), min_size=1, max_size=8))
def test_every_word_of_an_entity_is_its_own_and_no_other(words):
    """Sentences of words, any of which may be an entity: token k belongs to the number of its entity."""
    offsets, spans, expected, place = [], [], [], 0
    for word, is_entity in words:
        offsets.append((place, place + len(word)))
        expected.append(len(spans) if is_entity else -1)
        if is_entity:
            spans.append(offsets[-1])
        place += len(word) + 1
    assert owner([(0, 0), *offsets], [*spans, (0, 0)]) == [-1, *expected]


def test_best_mask_is_that_of_the_most_probable_proposal():
    """Two prompts choose proposals 2 and 0 of three, whose masks are multiples of one feature map."""
    scores = torch.tensor([[[0.1, 0.6], [0.2, 0.3], [0.7, 0.1]]]).log()
    pixel = torch.tensor([[[1.0], [2.0], [3.0]]])
    features = torch.tensor([[[[1.0, -1.0]]]])
    masks, probability = best_masks(scores, pixel, features)
    assert masks.tolist() == [[[[3, -3]], [[1, -1]]]]
    torch.testing.assert_close(probability, torch.tensor([[0.7, 0.6]]))


def test_own_rows_number_the_batch_and_leave_padding_out():
    assert own_rows(torch.tensor([[False, True], [False, False]])).tolist() == [[0, -1], [1, 1]]
