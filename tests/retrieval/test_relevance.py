"""Claims about relevance, with a model of colours and a match head that knows them by their cosines alone."""

from types import SimpleNamespace

import pytest
import torch
from colors import ColorModel, paint

from find.errors import InputError
from find.interface import MatchHead
from find.query.query import Phrase, Query
from find.retrieval.album import Album


def cosine_head(width: int) -> MatchHead:
    """Logit 40 x cosine - 30: the same colour is there for sure, another one is not."""
    head = MatchHead(semantic_width=width, width=2)
    with torch.no_grad():
        head.out.weight.zero_()
        head.out.bias.fill_(-30)
        head.cosine.fill_(40)
    return head


class MatchingColors(ColorModel):
    @property
    def interface(self) -> SimpleNamespace:
        return SimpleNamespace(match_head=cosine_head(3), pair_term=None)


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    paint(folder / "a.png", "red", "green")
    paint(folder / "b.png", "green", "blue", size=(16, 10))
    paint(folder / "c.png", "red", "blue")
    return folder


@pytest.fixture
def album(photos, tmp_path):
    return Album.build(MatchingColors(), photos, tmp_path / "my.album", progress=False)


def test_an_image_with_all_that_is_sought_is_relevant_and_others_are_not(album):
    hits = {hit.path.name: hit.relevance for hit in album.search("{green} beside {blue}")}
    assert hits["b.png"] > 0.99 and hits["a.png"] < 0.01 and hits["c.png"] < 0.01


def test_each_entity_of_a_hit_has_its_own_probability(album):
    hits = {hit.path.name: hit for hit in album.search("{green} beside {blue}")}
    green, blue = hits["a.png"].present
    assert green > 0.99 and blue < 0.01 and min(hits["b.png"].present) == pytest.approx(hits["b.png"].relevance)
    (excluded,) = album.search(Phrase("red") - Phrase("blue"))[0].parts[1].present
    assert excluded < 0.01
    assert album.search(Query("green"))[0].present == ()


def test_nothing_found_is_an_answer(album):
    assert album.search("{grey}", min_relevance=0.5) == []
    assert [hit.path.name for hit in album.search("{green} beside {blue}", min_relevance=0.5)] == ["b.png"]
    assert len(album.search("{grey}", min_relevance=0.0)) == len(album.search("{grey}")) == 3


def test_what_must_not_be_there_makes_irrelevant(album):
    queries = "{red}", Phrase("red") - Phrase("blue")
    both, without = ({hit.path.name: hit.relevance for hit in album.search(query)} for query in queries)
    assert both["a.png"] > 0.99 and both["c.png"] > 0.99
    assert without["a.png"] > 0.99 and without["c.png"] < 0.01
    joined = album.search(Phrase("red") & Phrase("blue"), min_relevance=0.5)
    assert [hit.path.name for hit in joined] == ["c.png"]


def test_the_rank_and_the_score_stay_as_they_are(album):
    every, some = album.search("{green}"), album.search("{green}", min_relevance=0.5)
    assert [hit.path for hit in some] == [hit.path for hit in every if hit.relevance >= 0.5]
    assert {hit.path: hit.score for hit in some}.items() <= {hit.path: hit.score for hit in every}.items()
    assert "relevance 1.00" in some[0].explain()


def test_a_sentence_without_entities_has_no_relevance(album):
    assert album.search(Query("green"))[0].relevance is None
    with pytest.raises(InputError, match="put braces around"):
        album.search(Query("green"), min_relevance=0.5)


def test_models_without_a_match_head_say_so(photos, tmp_path):
    album = Album.build(ColorModel(), photos, tmp_path / "plain.album", progress=False)
    assert album.search("{green}")[0].relevance is None and album.search("{green}")[0].present == (None,)
    with pytest.raises(InputError, match="no match head"):
        album.search("{green}", min_relevance=0.5)


@pytest.mark.parametrize("least", [-0.1, 1.1])
def test_relevance_is_a_probability(album, least):
    with pytest.raises(InputError, match="between 0 and 1"):
        album.search("{green}", min_relevance=least)
