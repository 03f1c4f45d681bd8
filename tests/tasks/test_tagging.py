"""Entities of plain sentences: characters and labels of tokens say the same, and the shipped tagger finds them."""

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from find.errors import FindError
from find.evaluation.tagging import TaggingScores
from find.foundations import load_language
from find.interface import EntityTagger
from find.interface.tagger import INSIDE, OUTSIDE, START
from find.model.model import FIND
from find.query.query import Phrase, Query
from find.tasks.tagging import IGNORED, _spans, labels_of, tagging_loss
from find.training.tagging import train_tagger, varied
from find.world import scenes

WORDS = ("a red dog", "the car", "zebras", "a person in spotted blue", "don't-know")
BETWEEN = (" left of ", " and ", ", ", ". ", " is  in front of ")


@st.composite
def tagged(draw):
    names = draw(st.lists(st.sampled_from(WORDS), min_size=0, max_size=4))
    text, spans = draw(st.sampled_from(("", "find ", "A photo of"))), []
    for name in names:
        text += " " if text and not text[-1].isspace() else ""
        spans.append((len(text), len(text) + len(name)))
        text += name + draw(st.sampled_from(BETWEEN))
    return text or "nothing here", spans


@pytest.fixture(scope="module")
def language():
    return load_language("tiny")


@pytest.fixture(scope="module")
def shipped():
    return FIND.from_pretrained("find-tiny")


@settings(deadline=None)
@given(sentence=tagged())
def test_labels_read_back_give_the_same_characters(language, sentence):
    text, spans = sentence
    offsets = language.tokenize([text]).offsets
    labels = labels_of([text], [spans], offsets)
    logits = torch.nn.functional.one_hot(labels[0].clamp(min=OUTSIDE), 3).float()
    assert _spans(text, offsets[0].tolist(), 9 * logits) == spans
    assert (labels == START).sum() == len(spans)


def test_pieces_of_a_word_have_one_label_and_vote_together():
    text, offsets = "the naïveté rests", [(0, 0), (0, 3), (4, 9), (9, 11), (12, 17), (0, 0)]
    labels = labels_of([text], [[(4, 11)]], torch.tensor([offsets]))
    assert labels.tolist() == [[IGNORED, OUTSIDE, START, START, OUTSIDE, IGNORED]]
    logits = torch.zeros(6, 3)
    logits[1, OUTSIDE] = logits[4, OUTSIDE] = 9
    logits[2, OUTSIDE], logits[3, START] = 1, 5  # the second piece is the surer one
    assert _spans(text, offsets, logits) == [(4, 11)]


def test_an_inside_after_nothing_begins_an_entity_and_punctuation_ends_none():
    text, offsets = "big dogs, ran", [(0, 3), (4, 8), (8, 9), (10, 13)]
    logits = torch.full((4, 3), -9.0)
    for token, label in enumerate((INSIDE, INSIDE, INSIDE, OUTSIDE)):
        logits[token, label] = 9
    assert _spans(text, offsets, logits) == [(0, 8)]


def test_a_tagger_answers_for_a_text_as_if_it_were_alone(language):
    torch.manual_seed(0)
    tagger = EntityTagger(text_width=language.width, width=8)
    short, long = "a dog", "a red dog left of a small striped green car in front of the wall"
    alone, together = (language(language.tokenize(texts)) for texts in ([short], [long, short]))
    one = tagger(alone.tokens, alone.padding)[0]
    torch.testing.assert_close(tagger(together.tokens, together.padding)[1, : len(one)], one)


def test_the_loss_is_a_mean_over_words_and_zero_where_there_are_none(language):
    """With a gradient either way: processes wait for each other's."""
    torch.manual_seed(0)
    tagger = EntityTagger(text_width=language.width, width=8)

    def loss(texts, spans):
        tokenized = language.tokenize(texts)
        features = language(tokenized)
        labels = labels_of(texts, spans, tokenized.offsets)
        return tagging_loss(tagger, features.tokens, features.padding, labels), int((labels != IGNORED).sum())

    one, other = ["a red dog left of a cat"], ["zebras"]
    (first, count), (second, more) = loss(one, [[(0, 9), (18, 23)]]), loss(other, [[(0, 6)]])
    together, total = loss(one + other, [[(0, 9), (18, 23)], [(0, 6)]])
    assert count > more > 0 and total == count + more
    torch.testing.assert_close(together, (count * first + more * second) / total)
    nothing, _ = loss([""], [[]])
    nothing.backward()
    assert nothing == 0 and all(not p.grad.any() for p in tagger.parameters())


def test_a_tagger_learns_and_its_variations_keep_their_entities(language):
    said = [s.text for scene in scenes(3, "train2017", 12) for s in scene.sentences]
    sentences = [(text.text, [(p.start, p.end) for p in text.phrases]) for text in said]
    chance = random.Random(0)
    for text, spans in sentences:
        changed, moved = varied((text, spans), chance)
        assert 1 <= len(moved) <= len(spans)
        assert all(changed[a:b].strip() == changed[a:b] != "" for a, b in moved)
        assert [b for _, b in moved] == sorted(b for _, b in moved)
    torch.manual_seed(0)
    tagger = EntityTagger(text_width=language.width, width=16)
    losses = []
    train_tagger(language, tagger, sentences, steps=100, rate=1e-2, batch_size=16, report=lambda _, x: losses.append(x))
    assert losses[-1] < losses[0] / 2


def test_scores_of_known_answers():
    true = [[(0, 3), (5, 9)], [(1, 4)], []]
    found = [[(0, 3), (5, 8)], [(1, 4)], []]
    scores = TaggingScores.of(true, found)
    assert scores.precision == scores.recall == scores.f1 == pytest.approx(2 / 3)
    assert (scores.sentences, scores.first) == (pytest.approx(2 / 3), 1.0)


def test_the_shipped_tagger_finds_the_entities_of_worlds_that_it_never_saw(shipped):
    """Sentences and referring expressions, which it splits into their head, the words between, and the other thing."""
    made = list(scenes(77, "val2017", 40))
    for said, least in (
        ([scene.sentences[0] for scene in made], 0.99),
        ([expression.sentence for scene in made for expression in scene.expressions], 0.99),
    ):
        texts = [sentence.text for sentence in said]
        spans = [[(phrase.start, phrase.end) for phrase in text.phrases] for text in texts]
        assert TaggingScores.of(spans, shipped.entity_spans([text.text for text in texts])).f1 >= least


@pytest.mark.parametrize(
    ("text", "braces"),
    [
        ("a spotted dog left of the red car", "{a spotted dog} left of {the red car}"),
        ("dog", "{dog}"),
        ("red dog on grass", "{red dog} on {grass}"),
        ("The big dog is chasing a cat.", "{The big dog} is chasing {a cat}."),  # "chasing" is no word of the world
        ("a zebra \\ behind {the wall}", r"{a zebra} \\ behind \{{the wall}\}"),
    ],
)
def test_a_plain_sentence_becomes_a_query(shipped, text, braces):
    query = Query.from_text(shipped, text)
    assert query.format() == braces
    assert Query.parse(braces) == query and query.text == text


def test_a_plain_query_finds_what_one_with_braces_finds(shipped):
    plain = Query.from_text(shipped, "a red dog left of a blue car")
    assert plain == Query(Phrase("a red dog"), " left of ", Phrase("a blue car"))
    assert plain.connections == ["", "left of", ""]


def test_what_cannot_be_read_is_told(shipped):
    with pytest.raises(FindError, match="the query is empty"):
        Query.from_text(shipped, "  ")
    with pytest.raises(FindError, match=r"no tagger.*mark them"):
        Query.from_text(FIND.build(shipped.config.__class__()), "a dog")
    assert Query.from_text(shipped, ". , .").entities == ()
