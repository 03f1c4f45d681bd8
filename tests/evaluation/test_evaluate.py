"""The whole evaluation: the names in its JSON, what it does with incomplete data, and the frozen pair's column."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from oracle import Oracle

from find.data.coco import CocoFolder
from find.errors import FindError
from find.evaluation.evaluate import Task, evaluate
from find.evaluation.queries import EntityMode, Interleaving, RegionSource
from find.evaluation.results import METRICS, comparison_table
from find.evaluation.systems.frozen_foundations import FrozenPair, PooledQueries, evaluate_pair, words_of
from find.evaluation.task_results import MissingAnnotations
from find.foundations import load_language, load_vision
from find.query.query import Phrase, Query, Region


def test_json_has_the_published_names_and_the_truth_has_full_figures(root: Path, folder: CocoFolder):
    figures = json.loads(json.dumps(evaluate(Oracle(folder), root, progress=False).to_json()))
    for task, names in METRICS.items():
        assert tuple(figures[task]) == names
        for name, value in figures[task].items():
            assert value == pytest.approx(1 if name.startswith("NoC") else 100), (task, name)
    assert figures["held_out"].keys() == set(METRICS) - {"retrieval"}
    assert figures["details"]["interleaved_retrieval"]["hard_negatives"]["combined"] == 100
    assert figures["seconds"].keys() == {"embedding", *METRICS}


def test_few_entities_shown_as_regions_are_told(root: Path, folder: CocoFolder):
    """Of the two phrases of each sentence one has a reference."""

    def notes(mode: EntityMode, source: RegionSource = RegionSource.REFERENCE) -> tuple[list[float], str]:
        options = {"tasks": ["interleaved_segmentation", "interleaved_retrieval"], "progress": False}
        evaluation = evaluate(Oracle(folder), root, interleaving=Interleaving(mode, source), **options)
        return [
            details["share_shown"] for details in evaluation.to_json()["details"].values()
        ], evaluation.to_markdown()

    assert notes(EntityMode.VISUAL)[0] == [50, 50]
    path = root / "annotations" / "entity_val2017.json"
    content = json.loads(path.read_text())
    for sentence in content["annotations"]:
        for phrase in sentence["phrase"]:
            phrase.pop("reference", None)
    path.write_text(json.dumps(content))
    shares, text = notes(EntityMode.VISUAL)
    assert shares == [0, 0]
    assert "interleaved segmentation: only 0.0 % of the entities" in text
    assert "interleaved retrieval: only 0.0 % of the entities" in text
    assert "only" not in notes(EntityMode.TEXT)[1]
    shares, text = notes(EntityMode.VISUAL, RegionSource.SAME)
    assert shares == [100, 100] and "only" not in text


def test_one_task_alone_leaves_the_others_null(root: Path, folder: CocoFolder):
    figures = evaluate(Oracle(folder), root, tasks=["grounding"], limit=3, progress=False).to_json()
    assert [task for task in METRICS if figures[task] is not None] == ["grounding"]
    assert figures["data"]["images"] == 3
    assert figures["details"]["grounding"]["images"] == 3


def test_missing_annotations_skip_a_task_unless_it_was_asked_for(root: Path, folder: CocoFolder):
    oracle = Oracle(folder)
    (root / "annotations" / "captions_val2017.json").unlink()
    evaluation = evaluate(oracle, root, progress=False)
    assert "retrieval" not in evaluation.results
    assert "no captions" in evaluation.skipped["retrieval"]
    assert "retrieval was not evaluated" in evaluation.to_markdown()
    with pytest.raises(MissingAnnotations, match="no captions"):
        evaluate(oracle, root, tasks=[Task.RETRIEVAL], progress=False)


def test_bad_requests_are_named(root: Path, folder: CocoFolder):
    with pytest.raises(FindError, match=r"no task 'panoptics'; there are panoptic, .*interleaved_retrieval"):
        evaluate(Oracle(folder), root, tasks=["panoptics"])
    with pytest.raises(FindError, match="no study 'probe'; there are variants, probes"):
        evaluate(Oracle(folder), root, studies=["probe"])
    for name in ("limit", "gallery", "clicked_images"):
        with pytest.raises(FindError, match=f"{name} is a number of images, at least 1, not 0"):
            evaluate(Oracle(folder), root, **{name: 0})
    (root / "held_out.json").write_text('{"segments": []}')
    with pytest.raises(FindError, match=r"held_out\.json: expected"):
        evaluate(Oracle(folder), root, tasks=["grounding"], progress=False)


def test_tables_have_a_column_a_system_and_a_dash_where_nothing_was_measured(root: Path, folder: CocoFolder):
    oracle = Oracle(folder)
    whole = evaluate(oracle, root, progress=False)
    part = evaluate(oracle, root, tasks=["retrieval"], progress=False)
    table = comparison_table({"all": whole.to_json(), "some": part.to_json()})
    assert "| task | metric | all | some |" in table
    assert "| panoptic | PQ | 100.0 | – |" in table
    assert "| retrieval | TR@10 | 100.0 | 100.0 |" in table
    assert "| interactive | mIoU@1 | 100.0 | 100.0 |" in whole.to_markdown().split("held out")[1]


def test_studies_are_done_only_when_asked_for(root: Path, folder: CocoFolder):
    class KnowsItsSentences(Oracle):
        def embed_queries(self, queries):
            texts = [words_of(query) for query in queries]
            rows = [self.row[self.image_of_text[text]] if text in self.image_of_text else None for text in texts]
            return PooledQueries(torch.stack([torch.eye(len(self.row))[row] if row is not None else
                                              -torch.eye(len(self.row))[0] for row in rows]))  # fmt: skip

    model = KnowsItsSentences(folder)
    figures = evaluate(model, root, tasks=["retrieval"], progress=False).to_json()
    assert not {"variants", "probes"} & figures.keys()
    found = evaluate(model, root, tasks=[], studies=["variants", "probes"], progress=False)
    figures = json.loads(json.dumps(found.to_json()))
    assert [row["published"] for row in figures["variants"]["interleaved_segmentation"]].count(True) == 1
    assert len(figures["variants"]["interleaved_retrieval"]) == 20
    assert figures["probes"]["figures"]["text"]["all"] == 100
    assert figures["probes"]["details"]["false_by"] == "phrase swaps"
    text = found.to_markdown()
    assert "**mixed (same image) (as published)**" in text and "| relation | 100.0" in text


def test_a_large_gallery_smaller_than_the_main_one_takes_nothing_from_it(root: Path, folder: CocoFolder):
    tasks = (Task.RETRIEVAL, Task.INTERLEAVED_RETRIEVAL)
    found = evaluate(Oracle(folder), root, tasks=tasks, gallery=6, large_gallery=3, progress=False)
    plain, interleaved = (found.results[task.value] for task in tasks)
    assert (plain.gallery, interleaved.gallery.size) == (6, 6)
    assert interleaved.large is None


def test_images_are_embedded_once_for_tasks_and_variants(root: Path, folder: CocoFolder):
    class Counts(Oracle):
        images = 0

        def embed_images(self, images):
            self.images += len(images)
            return super().embed_images(images)

    model = Counts(folder)
    evaluate(model, root, tasks=["retrieval"], studies=["variants"], progress=False)
    assert model.images == len(folder)


def test_a_study_without_annotations_does_not_lose_the_tasks_figures(root: Path, folder: CocoFolder):
    (root / "annotations" / "entity_val2017.json").unlink()
    options = {"studies": ["probes"], "progress": False}
    found = evaluate(Oracle(folder), root, tasks=["panoptic"], skip_missing=True, **options)
    assert "panoptic" in found.results and "no probe" in found.skipped["probes"]
    assert "probes was not evaluated" in found.to_markdown()
    with pytest.raises(MissingAnnotations, match="no probe"):
        evaluate(Oracle(folder), root, tasks=["panoptic"], **options)


@pytest.fixture(scope="module")
def pair() -> FrozenPair:
    torch.manual_seed(0)
    return FrozenPair(vision=load_vision("random:tiny"), language=load_language("random:tiny"))


def test_the_frozen_pair_fills_the_two_retrieval_tasks(pair: FrozenPair, root: Path):
    figures = evaluate_pair(pair, root, progress=False).to_json()
    assert [task for task in METRICS if figures[task] is not None] == ["retrieval", "interleaved_retrieval"]
    details = figures["details"]["interleaved_retrieval"]
    assert details["combined"] == details["sentence_term_alone"]


def test_words_that_were_never_seen_are_counted_in_what_a_task_reads(root: Path):
    """The shipped pair knows red and dog; nobody knows the grix, which two of the sixteen captions name."""
    path = root / "annotations" / "captions_val2017.json"
    content = json.loads(path.read_text())
    for caption, text in zip(content["annotations"], ("a Grix and a dog", "a red dog", "a grix"), strict=False):
        caption["caption"] = text
    path.write_text(json.dumps(content))
    pair = FrozenPair(vision=load_vision("tiny"), language=load_language("tiny"))
    evaluation = evaluate(pair, root, tasks=["retrieval"], progress=False)
    found = evaluation.to_json()["data"]["unknown_words"]
    assert found["texts"] == 16 and found["most_frequent"]["grix"] == 2 <= found["texts_with_unknown_words"]
    assert not {"red", "dog"} & found["most_frequent"].keys()
    assert "of 16 distinct texts have words" in evaluation.to_markdown() and "grix (2)" in evaluation.to_markdown()


def test_a_system_without_language_encoder_leaves_unknown_words_open(root: Path, folder: CocoFolder):
    evaluation = evaluate(Oracle(folder), root, tasks=["retrieval"], progress=False)
    assert evaluation.to_json()["data"]["unknown_words"] is None


def test_the_frozen_pair_embeds_images_of_any_size_as_if_alone(pair: FrozenPair):
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (*size, 3)).astype(np.uint8) for size in ((64, 64), (50, 70), (64, 64))]
    together = pair.embed_images(images).image
    alone = torch.cat([pair.embed_images([image]).image for image in images])
    assert torch.allclose(together, alone, atol=1e-5)
    assert torch.allclose(together.norm(dim=1), torch.ones(3))


def test_the_frozen_pair_reads_the_words_that_a_region_replaced():
    region = Region(np.zeros((4, 4, 3), np.uint8), points=(1, 1), label="a red dog")
    assert words_of(Query(region, " left of ", Phrase("a car"))) == "a red dog left of a car"
    with pytest.raises(FindError, match="needs a label"):
        words_of(Query("a ", Region(np.zeros((4, 4, 3), np.uint8), points=(1, 1))))
