"""Claims about requests as find-tiny reads them: things, exclusions, and the lines and warnings that people see."""

import numpy as np
import pytest
from PIL import Image

from find import FIND, Album, Query
from find.errors import InputError
from find.model.requests import VAGUE, read_search, read_things
from find.model.tagging import tagged_queries
from find.query.operators import JoinedQuery


@pytest.fixture(scope="module")
def shipped():
    return FIND.from_pretrained("find-tiny")


def _asked(text):
    return JoinedQuery((Query.parse(text),))


def test_words_that_only_ask_are_no_entity_and_are_told(shipped):
    reading = read_search(shipped, _asked("show me pictures with a red dog"))
    assert [one.format() for one in reading.query.queries] == ["{a red dog}"]
    assert reading.lines == ('read as: {a red dog} (left out: "show me pictures with"; braces keep all words)',)
    assert not reading.warnings
    [as_it_is] = tagged_queries(shipped, [Query("show me pictures with a red dog")])  # what evaluation reads
    assert as_it_is.text == "show me pictures with a red dog"


def test_an_album_reads_a_str_as_the_command_line_does_and_a_query_as_it_is(shipped, tmp_path):
    (tmp_path / "photos").mkdir()
    for number, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (3, 40, 48, 3), dtype=np.uint8)):
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{number}.png")
    album = Album.build(shipped, tmp_path / "photos", tmp_path / "my.album", progress=False)

    def found(query):
        return [(hit.path, hit.score) for hit in album.search(query)]

    text = "show me a red dog left of a car but no bench"
    assert found(text) == found(read_search(shipped, _asked(text)).query) != found(Query(text))
    assert not album.search(Query("a red dog left of a car"))[0].entity_terms
    with pytest.warns(UserWarning, match="no thing was found"):
        album.search("left of")
    with pytest.raises(InputError, match="only says what must not be there"):
        album.search("no dog")


def test_without_at_the_end_excludes_and_is_told(shipped):
    reading = read_search(shipped, _asked("a car without a dog or a bench"))
    assert reading.query == Query.parse("{a car}") - Query.parse("{a dog}") - Query.parse("{a bench}")
    assert reading.lines == ("read as: {a car}, without {a dog}, without {a bench}",) and not reading.warnings


@pytest.mark.parametrize(
    "text", ["a car without a dog left of a bench", "{a car} without {a dog}", "a dog not on grass"]
)
def test_denials_that_exclude_nothing_are_told(shipped, text):
    reading = read_search(shipped, _asked(text))
    assert not reading.query.exclude
    assert len(reading.warnings) == 1 and "excludes nothing here" in reading.warnings[0]


@pytest.mark.parametrize("text", ["no dog", "photos without a dog", "not a dog"])
def test_a_search_for_what_must_not_be_there_alone_is_refused(shipped, text):
    with pytest.raises(InputError, match=r"only says what must not be there.*--without \"\{(a )?dog\}\""):
        read_search(shipped, _asked(text))


def test_a_sentence_without_a_thing_is_told(shipped):
    assert read_search(shipped, _asked("left of")).warnings == (VAGUE,)
    assert read_search(shipped, _asked("a dog")).warnings == ()


def test_braces_keep_every_word(shipped):
    for text in ("{no dog}", "show me {a dog}", "[a.jpg@1,2] without me"):
        assert read_search(shipped, _asked(text)).query == _asked(text)


def test_where_masks_are_sought_without_excludes_nothing(shipped):
    reading = read_things(shipped, _asked("find the man without a hat"))
    assert reading.query.exclude == () and reading.query.include[0].text == "the man without a hat"
    assert "excludes nothing" in reading.warnings[0]


def test_a_model_without_a_tagger_takes_sentences_as_they_are(shipped):
    reading = read_search(FIND.build(shipped.config.__class__()), _asked("no dog"))
    assert reading.query == _asked("no dog") and not reading.lines


def test_the_models_methods_read_plain_english_too(shipped):
    picture = np.random.default_rng(0).integers(0, 255, (64, 80, 3), dtype=np.uint8)
    picture.setflags(write=False)
    plain, marked = (shipped.segment(picture, text) for text in ("find a red dog on grass", "{a red dog} on {grass}"))
    assert [one.entity for one in plain] == [one.entity for one in marked]
    assert all((one.mask == other.mask).all() for one, other in zip(plain, marked, strict=True))
    every = [shipped.find_all(picture, text, threshold=0) for text in ("a red dog", "{a red dog}")]
    assert [one.score for one in every[0]] == [one.score for one in every[1]] and every[0]
    with pytest.raises(InputError, match=r"'left of'.*has no entity"):
        shipped.segment(picture, "left of")
    with pytest.raises(InputError, match="images: int is neither an image"):
        shipped.segment(3, "{a dog}")


def test_segment_warns_of_a_denial_once_and_takes_a_query_as_it_is(shipped, recwarn):
    image = np.zeros((40, 48, 3), dtype=np.uint8)
    with pytest.warns(UserWarning, match='"not" excludes nothing here'):
        found = shipped.segment(image, "a dog not on grass")
    recwarn.clear()
    same = shipped.segment(image, read_things(shipped, _asked("a dog not on grass")).query.include[0])
    assert not recwarn.list and [one.score for one in found] == [one.score for one in same]
