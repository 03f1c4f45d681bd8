"""All variants of the interleaved protocols in one table, and answers that do not come from a model."""

import json
from pathlib import Path

import numpy as np
import pytest
from oracle import Neighbour, Oracle

from find.data.coco import CocoFolder
from find.data.strokes import StrokeKind
from find.errors import FindError
from find.evaluation.interleaved_results import variants_table
from find.evaluation.mask_ap import instance_results
from find.evaluation.protocols.grounding import TextSource, grounding, questions_of, score_grounding
from find.evaluation.protocols.interactive import interactive
from find.evaluation.protocols.panoptic import GenericAnswer, panoptic, score_panoptic
from find.evaluation.protocols.retrieval import TextKind, read_image_ids, retrieval
from find.evaluation.protocols.variants import retrieval_variants, segmentation_variants
from find.evaluation.queries import EntityMode, RegionSource, all_interleavings


class Copies(Oracle):
    """Segments what it is shown, in its own place, so it is right only where the prompt is the answer's own mask."""

    def segment(self, images, queries):
        answers = super().segment(images, queries)
        for row, query in zip(answers, queries, strict=True):
            for answer, entity in zip(row, query.entities, strict=True):
                shown = getattr(entity, "mask", None)
                if shown is None or np.asarray(shown).shape != answer.mask.shape:
                    answer.mask[:] = False
                else:
                    answer.mask[:] = shown
        return answers


def test_there_are_five_ways_to_ask_and_words_have_no_source():
    names = [interleaving.name for interleaving in all_interleavings()]
    assert names == [
        "text", "visual (reference image)", "visual (same image)", "mixed (reference image)", "mixed (same image)",
    ]  # fmt: skip


def test_one_segmentation_row_is_the_published_one_and_its_trap_shows(folder: CocoFolder):
    rows = segmentation_variants(Copies(folder), folder)
    (published,) = [row for row in rows if row.is_published]
    assert published.interleaving.mode is EntityMode.MIXED and published.interleaving.source is RegionSource.SAME
    figures = {row.name: row.figures["mIoU"] for row in rows}
    assert figures["visual (same image)"] == 100 > figures["mixed (same image)"] > 0
    assert figures["text"] == 0 and figures["visual (reference image)"] < 50
    table = variants_table(rows)
    assert "**mixed (same image) (as published)**" in table and table.count("\n") == 2 + 5
    assert "| visual (same image) | 100.0 [100.0, 100.0] |" in table
    assert json.loads(json.dumps([row.to_json() for row in rows]))[2]["region_source"] == "same"


def test_retrieval_has_four_rows_a_way_and_one_is_published(folder: CocoFolder):
    rows = retrieval_variants(Neighbour(folder), folder)
    assert len(rows) == 4 * 5
    (published,) = [row for row in rows if row.is_published]
    assert published.name == "mixed (reference image); with entity term; owners kept"
    figures = {row.name: row.figures for row in rows}
    # the neighbour, which the model takes for the target, is the image whose dog is shown: strict leaves it out
    assert figures["visual (reference image); with entity term; strict"]["IR@10"] == 100
    assert figures["text; with entity term; strict"] == figures["text; with entity term; owners kept"]
    assert all(row.count == 8 for row in rows)


# --- predictions instead of a model ---


def test_answers_from_files_score_as_the_model_that_gave_them(folder: CocoFolder):
    oracle = Oracle(folder)
    source = TextSource.PHRASES
    questions = [question for image_id in folder.image_ids for question in questions_of(folder, image_id, source)]
    stored = {(q.item, q.entity): np.isin(folder.segment_map(q.image_id), q.segment_ids) for q in questions}
    stored[questions[3].item, questions[3].entity] ^= True

    result = score_grounding(
        lambda groups: [[stored[q.item, q.entity] for q in group] for group in groups], folder, source=source
    )
    assert result.overlaps.records[3].iou == 0
    assert result.masks.all.miou == pytest.approx(15 / 16)
    assert grounding(oracle, folder, source=source).masks.all.miou == 1
    with pytest.raises(FindError, match="image 100: 1 masks for 2 texts"):
        score_grounding(lambda groups: [[stored[0, 0]] for _ in groups], folder, source=source)


def test_a_system_without_semantic_maps_leaves_that_figure_open(folder: CocoFolder):
    whole = panoptic(Oracle(folder), folder).to_json()

    def answers(image_ids):
        found = []
        for image_id in image_ids:
            segment_map, segments = folder.segment_map(image_id), folder.segments(image_id)
            found.append(GenericAnswer(segment_map, {s.id: s.category_id for s in segments}))
        return found

    result = score_panoptic(answers, folder)
    assert result.to_json() == {"PQ": whole["PQ"], "mIoU": None, "AP": None}
    assert result.intervals().keys() == {"PQ"}
    things = [s for s in folder.segments(100) if s.category_id in (18, 3) and not s.is_crowd]
    masks = np.stack([folder.segment_map(100) == s.id for s in things])
    instances = instance_results(
        image_id=100, masks=masks, category_ids=[s.category_id for s in things], scores=[1.0] * len(things)
    )
    only = score_panoptic(lambda ids: [GenericAnswer(instances=instances) for _ in ids], folder, image_ids=[100])
    assert only.to_json() == {"PQ": None, "mIoU": None, "AP": 100}
    assert only.details()["PQ_of_class"] == {}


# --- strokes ---


def test_every_kind_of_stroke_is_drawn_once_and_always_in_the_same_way(folder: CocoFolder):
    class Remembers(Oracle):
        def interact(self, images, strokes, negatives=None):
            self.seen = [*getattr(self, "seen", []), *(stroke.copy() for stack in strokes for stroke in stack)]
            return super().interact(images, strokes, negatives)

    def strokes_of(batch_size: int, seed: int) -> set[bytes]:
        model = Remembers(folder)
        result = interactive(model, folder, clicked_images=4, batch_size=batch_size, seed=seed)
        details = result.details()
        assert details["strokes"].keys() == {"circle", "scribble", "polygon", "box"}
        assert all(found["count"] == 4 * 3 for found in details["strokes"].values())
        assert details["strokes"]["scribble"]["mIoU"] == 100  # inside the thing, so the truth is never in doubt
        assert details["mIoU_after_clicks"]["3"] == 100
        return {stroke.tobytes() for stroke in model.seen}

    assert strokes_of(1, seed=0) == strokes_of(4, seed=0) != strokes_of(4, seed=1)
    with_box = interactive(Oracle(folder), folder, strokes=[StrokeKind.BOX])
    assert list(with_box.strokes) == [StrokeKind.BOX]


# --- whose images, which texts ---


def test_a_list_of_images_or_karpathys_file_chooses_the_gallery(folder: CocoFolder, tmp_path: Path):
    def written(content) -> Path:
        path = tmp_path / "split.json"
        path.write_text(json.dumps(content))
        return path

    assert read_image_ids(written([105, 101]), folder) == (105, 101)
    images = [{"cocoid": 100 + k, "split": "test" if k % 2 else "train", "sentences": []} for k in range(8)]
    ids = read_image_ids(written({"images": images}), folder)
    assert ids == (101, 103, 105, 107)
    result = retrieval(Oracle(folder), folder, image_ids=ids, texts_per_image=1)
    assert (result.gallery, result.image.count, result.image.at_1) == (4, 4, 1)
    with pytest.raises(FindError, match="1 of its 2 images are not in val2017, the first is 7"):
        read_image_ids(written([100, 7]), folder)
    with pytest.raises(FindError, match="expected a list of image ids"):
        read_image_ids(written({"images": [{"id": 1}]}), folder)
    with pytest.raises(FindError, match="names no images of the part 'test'"):
        read_image_ids(written([]), folder)


def test_entity_sentences_search_as_plain_text(folder: CocoFolder):
    result = retrieval(Oracle(folder), folder, kind=TextKind.SENTENCES)
    assert (result.texts, result.image.count, result.image.at_1) == ("sentences", 8, 1)
    assert result.image_ranks.items.tolist() == [sentence.id for sentence in folder.sentences]
