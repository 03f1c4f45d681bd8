"""Claims about requests in plain English: what only asks is left out, and what must not be there is set apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from find.query.request import Request, negation, split_lead


@pytest.mark.parametrize(
    ("text", "lead", "rest"),
    [
        ("show me pictures with dogs", "show me pictures with", "dogs"),
        ("Show me all the photos of a dog left of a car", "Show me all the photos of", "a dog left of a car"),
        ("find the dog", "find", "the dog"),
        ("show red cars", "show", "red cars"),
        ("search for any dogs", "search for any", "dogs"),
        ("please list pictures of dogs", "please list pictures of", "dogs"),
        ("a photo of a dog", "a photo of", "a dog"),
        ("images where there is a dog", "images where there is", "a dog"),
        ("I'm looking for a black cat", "I'm looking for", "a black cat"),
        ("where is the red car", "where is", "the red car"),
        ("is there a dog?", "is there", "a dog?"),
    ],
)
def test_words_that_only_ask_are_told_from_what_is_sought(text, lead, rest):
    assert split_lead(text) == (lead, rest)


@pytest.mark.parametrize(
    "text",
    [
        "a spotted dog left of the red car",
        "a show dog",
        "a picture with a golden frame",  # a thing on a wall, more likely
        "display case with cakes",
        "search dog",
        "give way sign",
        "list of names on a wall",
        "a dog without a leash, on the grass",  # the grass must be there
        "a sandwich without meat and with cheese",
        "pictures",
        "pictures of",  # nothing would be left
        "find",
        "left of",
    ],
)
def test_other_sentences_stay_as_they_are(text):
    assert Request.read(text) == Request("", text)


@pytest.mark.parametrize(
    ("text", "wanted", "unwanted"),
    [
        ("a car without a dog", "a car", ("a dog",)),
        ("a street with no cars, people or dogs.", "a street", ("cars", "people", "dogs")),
        ("please find red cars but no dogs", "red cars", ("dogs",)),
        ("a car, but without any dog", "a car", ("dog",)),
        ("a street without cars or without people", "a street", ("cars", "people")),
        ("a street with no cars, no people", "a street", ("cars", "people")),
        ("a dog and no cat", "a dog", ("cat",)),
        ("a dog, no cats please", "a dog", ("cats",)),
        ("no dog", "", ("dog",)),
        ("show me photos without dogs", "", ("dogs",)),
    ],
)
def test_what_follows_without_must_not_be_there(text, wanted, unwanted):
    request = Request.read(text)
    assert (request.wanted, request.unwanted) == (wanted, unwanted)


@pytest.mark.parametrize(
    ("text", "word"), [("a dog not on the grass", "not"), ("it isn't red", "isn't"), ("a knot in the nose", None)]
)
def test_denials_are_noticed(text, word):
    assert negation(text) == word


@given(st.text(st.sampled_from("show me pictures of no without dog,. "), max_size=40))
def test_no_word_is_lost(text):
    lead, rest = split_lead(text)
    assert " ".join(f"{lead} {rest}".split()) == " ".join(text.split())
    request = Request.read(text)
    assert not text.strip() or request.wanted.strip() or request.unwanted or request.lead == ""
