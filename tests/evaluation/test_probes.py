"""Compositional probes: what they change, and that a system's share of wins is what its knowledge allows."""

import json
from pathlib import Path

import pytest
import torch
from oracle import Constant, Oracle

from find.data.coco import CocoFolder
from find.data.false_sentences import ProbeChange, labelled_probes, phrase_swaps
from find.data.sample import PhraseSpan, Reference, Sentence
from find.errors import FindError
from find.evaluation.protocols.probes import as_asked, probes
from find.evaluation.queries import EntityMode, Interleaving
from find.evaluation.systems.frozen_foundations import PooledQueries, words_of
from find.evaluation.task_results import MissingAnnotations
from find.model.model import FIND
from find.world import generate_world


def sentence(text: str, *phrases: str) -> Sentence:
    spans, end = [], 0
    for words in phrases:
        start = text.index(words, end)
        end = start + len(words)
        spans.append((start, end))
    return Sentence(
        5, 100, text, tuple(PhraseSpan(text[a:b], a, b, (k,), Reference(9, k)) for k, (a, b) in enumerate(spans))
    )


def swaps(text: str, *phrases: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for probe in phrase_swaps(sentence(text, *phrases)):
        assert [probe.false.text[p.start : p.end] for p in probe.false.phrases] == [p.text for p in probe.false.phrases]
        found.setdefault(probe.change.value, []).append(probe.false.text)
    return found


def test_units_of_a_sentence_are_exchanged():
    found = swaps(
        "A brown dog sits on a messy bed beside an old red bag.", "A brown dog", "a messy bed", "an old red bag"
    )
    assert found == {
        "entities": ["A messy bed sits on a brown dog beside an old red bag."],
        "attributes": [
            "A messy dog sits on a brown bed beside an old red bag.",
            "An old red dog sits on a messy bed beside a brown bag.",
            "A brown dog sits on an old red bed beside a messy bag.",
        ],
        "relation": ["A brown dog sits under a messy bed beside an old red bag."],
    }


def test_what_reads_the_same_both_ways_is_left_alone():
    assert swaps("a man and a dog", "a man", "a dog") == {}
    assert swaps("a man next to a dog", "a man", "a dog") == {}
    assert swaps("There is a car behind a car", "a car", "a car") == {
        "relation": ["There is a car in front of a car"]
    }  # fmt: skip
    assert "attributes" not in swaps("a red dog chases a red cat", "a red dog", "a red cat")
    assert "attributes" not in swaps("a dog with a hat chases a red cat", "a dog with a hat", "a red cat")


def test_references_travel_with_their_phrase_and_are_dropped_where_the_words_change():
    true = sentence("a red dog chases a blue cat", "a red dog", "a blue cat")
    by_change = {probe.change: probe for probe in phrase_swaps(true)}
    moved = by_change[ProbeChange.ENTITIES]
    assert moved.origin == (1, 0) and [p.reference.segment_id for p in moved.false.phrases] == [1, 0]
    changed = by_change[ProbeChange.ATTRIBUTES]
    assert [p.reference for p in changed.false.phrases] == [None, None]
    for probe, shown in ((moved, 2), (changed, 0)):
        for asked in as_asked(probe, Interleaving(EntityMode.VISUAL)):
            assert sum(p.reference is not None for p in asked.phrases) == shown
        for asked in as_asked(probe, Interleaving(EntityMode.TEXT)):
            assert not any(p.reference for p in asked.phrases)


def test_the_same_entities_are_shown_in_both_sentences_by_the_true_ones_coin():
    true = sentence("a dog chases a cat under a bed", "a dog", "a cat", "a bed")
    for probe in phrase_swaps(true):
        for seed in range(8):
            a, b = as_asked(probe, Interleaving(EntityMode.MIXED, seed=seed))
            assert {p.text.lower() for p in a.phrases if p.reference} == {
                p.text.lower() for p in b.phrases if p.reference
            }


class KnowsTheTruth(Oracle):
    """Puts every sentence that it has read in the data near its image, and any other elsewhere."""

    def embed_queries(self, queries):
        rows = [self.image_of_text.get(words_of(query)) for query in queries]
        known = torch.tensor([0 if row is None else 1 for row in rows])
        vectors = torch.zeros(len(rows), len(self.row))
        for number, row in enumerate(rows):
            vectors[number, self.row[row] if row is not None else 0] = float(known[number]) or -1.0
        return PooledQueries(vectors)


def test_the_truth_wins_all_and_a_constant_wins_none(folder: CocoFolder):
    result = probes(KnowsTheTruth(folder), folder, batch_size=3)
    assert not result.is_exact and result.images == 8
    assert result.details()["pairs"] == {"entities": 8, "relation": 8, "all": 16}  # "a car" has no attribute
    for mode, figures in result.to_json().items():
        assert figures == {"entities": 100, "relation": 100, "all": 100}, mode
        assert result.intervals()[mode]["all"] == [100, 100]
    assert "| relation | 100.0 [100.0, 100.0] |" in result.to_markdown()
    figures = probes(Constant(folder), folder).to_json()
    assert figures["text"] == figures["visual"] == {"entities": 0, "relation": 0, "all": 0}
    without = CocoFolder(folder.root, "val2017", entities=None)
    with pytest.raises(MissingAnnotations, match="no probe"):
        probes(Constant(folder), without)


def test_probes_false_by_labels_are_taken_where_there_are_some(folder: CocoFolder):
    path = Path(folder.annotations / "probes_val2017.json")
    truth = folder.sentences[2]
    text = "a car left of a green dog"
    record = {
        "id": 1, "image_id": truth.image_id, "sentence_id": truth.id, "sentence": text,
        "phrase": [
            {"phrase": "a car", "annotation_id": truth.phrases[1].segment_ids[0], "start_idx": 0, "end_idx": 5},
            {"phrase": "a green dog", "annotation_id": truth.phrases[0].segment_ids[0],
             "start_idx": text.index("a green"), "end_idx": len(text)},
        ],
        "changed": {"what": "entities"},
    }  # fmt: skip
    path.write_text(json.dumps({"annotations": [record]}))
    (probe,) = labelled_probes(folder)
    assert probe.origin == (1, 0) and probe.truth == truth
    result = probes(KnowsTheTruth(folder), folder)
    assert result.is_exact and result.details()["pairs"] == {"entities": 1, "all": 1}
    path.write_text(json.dumps({"annotations": [{**record, "changed": {"what": "mood"}}]}))
    with pytest.raises(FindError, match="change entities, attributes, relation"):
        labelled_probes(folder)


def test_sentences_of_further_forms_are_reported_apart_and_change_no_other_figure(tmp_path):
    """Asked by words; "all" and the changes are those of the probes without forms."""
    world = generate_world(tmp_path / "w", images=1, val_images=8, seed=5, workers=1, progress=False)
    model = FIND.from_pretrained("find-tiny")
    folder = CocoFolder(world, "val2017")
    found = probes(model, folder)
    forms = {probe.form for probe in folder.form_probes()}
    assert forms and forms < set(found.to_json()["text"])
    assert set(found.to_json()["visual"]) == set(found.to_json()["text"]) - forms
    for name in forms:
        assert f"| {name} |" in found.to_markdown()
        assert found.details()["pairs"][name] == sum(probe.form == name for probe in folder.form_probes())
    (folder.annotations / "probes_val2017_forms.json").unlink()
    plain = probes(model, CocoFolder(world, "val2017"))
    assert plain.to_json()["mixed"] == found.to_json()["mixed"]
    assert plain.to_json()["text"] == {name: x for name, x in found.to_json()["text"].items() if name not in forms}
