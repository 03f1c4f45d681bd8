"""Sentences of further forms: true of the pixels, of one meaning, their false relatives false of everything there."""

import itertools
import random
import re
import sys
from collections import Counter

import numpy as np
import pytest

from find.data.coco import CocoFolder
from find.data.false_sentences import ProbeChange, form_probes, labelled_probes
from find.foundations import load_language
from find.world import Scene, generate_world, scenes
from find.world.composition import compose
from find.world.forms import Form
from find.world.language import Sentence
from find.world.relations import OPPOSITE, Link, relations
from find.world.spots import OPPOSITE_SPOT, Among, Spot, with_spots


@pytest.fixture(scope="module")
def some_scenes() -> list[Scene]:
    return [*scenes(5, "train2017", 50), *scenes(5, "val2017", 50)]


def possible(made: Scene) -> dict:
    """What possibly holds, from the scene's pixels drawn again without its words."""
    val = made.image_id > 1 << 19
    index = made.image_id - (1 << 19 if val else 0) - 1
    rng = random.Random(f"5/{'val2017' if val else 'train2017'}/{index}/pixels")
    composed = compose(image_side=160, held_out=val, image_id=made.image_id, rng=rng)
    return with_spots(composed, relations(composed)).possibly


def readings(said: Sentence, made: Scene, truth: dict) -> list[tuple[int, ...]]:
    """Every assignment of segments to entities under which a sentence is true, by trying all of them."""

    def holds(claim, chosen) -> bool:
        if isinstance(claim.link, Spot):
            return truth[claim.link][chosen[claim.subject]]
        if claim.link is Among.BETWEEN:
            left, a, b, c = truth[Link.LEFT_OF], *(chosen[k] for k in (claim.subject, claim.object, claim.third))
            return (left[b, a] and left[a, c]) or (left[c, a] and left[a, b])
        return truth[claim.link][chosen[claim.subject], chosen[claim.object]]

    options = [[k for k, s in enumerate(made.segments) if entity.fits(s)] for entity in said.statement.entities]
    return [
        chosen
        for chosen in itertools.product(*options)
        if len(set(chosen)) == len(chosen) and all(holds(claim, chosen) for claim in said.statement.claims)
    ]


def test_every_form_is_said_and_means_one_thing_each(some_scenes):
    said = Counter()
    for made in some_scenes:
        truth = possible(made)
        for one in made.forms:
            assert readings(one.sentence, made, truth) == [one.sentence.segments]
            said[one.form] += 1
    assert all(said[form] >= 10 for form in Form), said


def test_false_relatives_fit_nothing_and_have_the_true_ones_words(some_scenes):
    def words(text: str) -> list[str]:
        return sorted(word for word in re.findall("[a-z]+", text.lower()) if word not in ("a", "an"))

    kinds = Counter()
    for made in some_scenes:
        truth = possible(made)
        for one in made.forms:
            assert 1 <= len(one.false) <= 6
            for false in one.false:
                assert readings(false.sentence, made, truth) == []
                assert false.sentence.text.text != one.sentence.text.text
                if false.change.what != "relation":
                    assert words(false.sentence.text.text) == words(one.sentence.text.text)
                kinds[one.form, false.change.what] += 1
    assert all(kinds[form, "entities"] >= 5 for form in Form), kinds
    assert all(kinds[form, "relation"] >= 5 for form in Form if form is not Form.BETWEEN), kinds


def test_places_agree_with_the_masks(some_scenes):
    """What words claim of one thing or of three, measured again on the finished segment map."""
    seen = Counter()
    for made in some_scenes:
        side = made.segment_map.shape[0]
        rows = {s.id: np.argwhere(made.segment_map == s.id) / side for s in made.segments}
        for one in made.forms:
            for claim in one.sentence.statement.claims:
                own = [rows[made.segments[one.sentence.segments[k]].id] for k in claim.entities]
                (y, x), low = own[0].mean(0), own[0][:, 0].max()
                lows = [
                    rows[s.id][:, 0].max() for s in made.segments if s.place and s.place.value not in ("air", "wall")
                ]
                if claim.link in (Spot.LEFT, Spot.RIGHT):
                    assert (x < 0.5) == (claim.link is Spot.LEFT)
                elif claim.link in (Spot.TOP, Spot.BOTTOM):
                    assert (y < 0.5) == (claim.link is Spot.TOP)
                elif claim.link is Spot.FOREGROUND:
                    assert low > 0.75 and low > max(lows) - 0.1
                elif claim.link is Spot.BACKGROUND:
                    assert low < max(lows)
                elif claim.link is Among.BETWEEN:
                    others = sorted(rows[:, 1].mean() for rows in own[1:])
                    assert others[0] < x < others[1]
                seen[claim.link] += 1
    assert all(seen[spot] >= 5 for spot in Spot) and seen[Among.BETWEEN] >= 10


def test_other_words_stay_as_they_are_without_them(monkeypatch):
    said = [(s.sentences, s.paragraph, s.captions, s.probes, s.negatives) for s in scenes(2, "train2017", 6)]
    monkeypatch.setattr(sys.modules["find.world.scene"], "FORMS", 0)  # the package has a function of that name
    assert [(s.sentences, s.paragraph, s.captions, s.probes, s.negatives) for s in scenes(2, "train2017", 6)] == said


def test_opposites_of_opposites_are_the_same():
    for turned in (OPPOSITE, OPPOSITE_SPOT):
        assert all(turned[turned[link]] is link for link in turned)


def test_the_tiny_pair_knows_all_their_words(some_scenes):
    texts = [one.sentence.text.text for made in some_scenes for one in made.forms]
    unknown = load_language("tiny").tokenize(texts).unknown
    assert {word for words in unknown for word in words} == set()


def test_their_files_are_read_as_probes_beside_the_others(tmp_path):
    folder = CocoFolder(generate_world(tmp_path / "w", images=2, val_images=12, seed=5, workers=1), "val2017")
    found = form_probes(folder)
    made = list(scenes(5, "val2017", 12))
    assert len(found) == sum(len(one.false) for scene in made for one in scene.forms)
    assert {probe.form for probe in found} == {one.form.value for scene in made for one in scene.forms}
    assert {probe.change for probe in found} == set(ProbeChange)
    true = {one.sentence.text.text for scene in made for one in scene.forms}
    assert {probe.truth.text for probe in found} == true
    assert not true & {probe.truth.text for probe in labelled_probes(folder)}
    assert all(probe.form == "" for probe in labelled_probes(folder))
