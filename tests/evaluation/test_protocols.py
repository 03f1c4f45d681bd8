"""Each protocol: the truth scores 100, and known faults score what they must."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from oracle import Constant, HalfMasks, Neighbour, Oracle

from find.data.coco import CocoFolder
from find.data.false_sentences import read_hard_negatives
from find.errors import FindError
from find.evaluation.protocols.grounding import grounding
from find.evaluation.protocols.interactive import interactive
from find.evaluation.protocols.interleaved_retrieval import interleaved_retrieval
from find.evaluation.protocols.interleaved_segmentation import interleaved_segmentation
from find.evaluation.protocols.panoptic import panoptic
from find.evaluation.protocols.retrieval import retrieval
from find.evaluation.queries import EntityMode, Interleaving, RegionSource
from find.evaluation.systems.frozen_foundations import PooledQueries
from find.evaluation.task_results import MissingAnnotations
from find.query.query import Phrase, Region

TEXT, VISUAL, MIXED = (Interleaving(mode=mode) for mode in (EntityMode.TEXT, EntityMode.VISUAL, EntityMode.MIXED))


# --- panoptic ---


def test_the_truth_has_full_panoptic_figures(folder: CocoFolder):
    result = panoptic(Oracle(folder), folder, batch_size=3)
    assert result.to_json() == pytest.approx({"PQ": 100, "mIoU": 100, "AP": 100})
    assert result.held_out()["held_out"] == {"segment_quality": 100}


def test_half_masks_match_nothing(folder: CocoFolder):
    figures = panoptic(HalfMasks(folder), folder).to_json()
    assert figures["PQ"] == 0
    assert 40 < figures["mIoU"] < 60
    assert figures["AP"] == pytest.approx(10, abs=1e-6)  # right at the first of the ten thresholds only


def test_instances_come_from_their_own_file_where_there_is_one(folder: CocoFolder):
    path = folder.annotations / "instances_val2017.json"
    images = json.loads((folder.annotations / "panoptic_val2017.json").read_text())["images"]
    car = {
        "id": 1,
        "image_id": 100,
        "category_id": 3,
        "bbox": [30, 14, 10, 16],
        "area": 160,
        "iscrowd": 0,
        "segmentation": [[30, 14, 40, 14, 40, 30, 30, 30]],
    }
    path.write_text(json.dumps({"images": images, "annotations": [car], "categories": [{"id": 3, "name": "car"}]}))
    assert panoptic(Oracle(folder), folder, image_ids=[100]).to_json()["AP"] == pytest.approx(100)
    path.write_text(json.dumps({"images": images, "annotations": [{**car, "category_id": 187}], "categories": []}))
    with pytest.raises(FindError, match="category 187, which is not a thing category"):
        panoptic(Oracle(folder), folder)


# --- grounding, interleaved segmentation ---


def test_grounding_takes_expressions_else_phrases(folder: CocoFolder, root: Path):
    result = grounding(Oracle(folder), folder)
    assert (result.source, result.masks.all.count) == ("expressions", 8)
    assert result.to_json() == pytest.approx({"cIoU": 100, "mIoU": 100, "P@0.5": 100})
    (root / "annotations" / "referring_val2017.json").unlink()
    plain = CocoFolder(root, "val2017")
    result = grounding(Oracle(plain), plain, batch_size=3)
    assert (result.source, result.masks.all.count) == ("phrases", 16)
    without = CocoFolder(root, "val2017", entities=None)
    with pytest.raises(MissingAnnotations, match="nothing to ground"):
        grounding(Oracle(without), without)


def test_half_masks_score_one_half_in_grounding_and_interleaved_segmentation(folder: CocoFolder):
    half = {"cIoU": 50, "mIoU": 50, "P@0.5": 100}
    assert grounding(HalfMasks(folder), folder).to_json() == pytest.approx(half)
    assert interleaved_segmentation(HalfMasks(folder), folder).to_json() == pytest.approx(half)


def test_held_out_entities_are_told_apart(folder: CocoFolder):
    class BlindToHeldOut(Oracle):
        def answer(self, segment_map, segment_ids):
            answer = super().answer(segment_map, segment_ids)
            return replace(answer, mask=answer.mask & (not set(segment_ids) <= {2001, 5001}))

    result = interleaved_segmentation(BlindToHeldOut(folder), folder)
    assert result.masks.held_out.miou == 0
    assert result.masks.held_out.count == 2
    assert result.masks.seen.miou == 1
    assert result.to_json()["mIoU"] == pytest.approx(100 * 14 / 16)
    assert result.held_out()["seen"]["cIoU"] == 100


def test_phrases_and_regions_are_counted_apart(folder: CocoFolder):
    result = interleaved_segmentation(Oracle(folder), folder, interleaving=VISUAL)
    assert (result.phrases.count, result.regions.count) == (8, 8)  # cars have no reference
    result = interleaved_segmentation(Oracle(folder), folder, interleaving=TEXT)
    assert (result.phrases.count, result.regions) == (16, None)


# --- how sentences become queries ---


def test_visual_entities_show_the_reference_in_the_other_image(folder: CocoFolder):
    made = VISUAL.query(folder.sentences[0], folder)
    assert made.is_region == (True, False)
    assert made.owners == {101}
    region, phrase = made.query.entities
    assert (region.pixels() == folder.image(101)).all()
    assert (region.bitmap() == (folder.segment_map(101) == 1001)).all()
    assert phrase == Phrase("a car")


def test_the_published_variant_shows_the_sought_segment_itself(folder: CocoFolder):
    published = Interleaving(mode=EntityMode.VISUAL, source=RegionSource.SAME)
    made = published.query(folder.sentences[3], folder)
    assert made.is_region == (True, True)
    assert made.owners == {103}
    assert all(isinstance(entity, Region) for entity in made.query.entities)
    assert (made.query.entities[1].bitmap() == (folder.segment_map(103) == 3002)).all()


def test_the_coin_is_fair_seeded_and_independent_of_order(folder: CocoFolder):
    sentences = [replace(folder.sentences[0], id=number) for number in range(400)]
    shown = [MIXED.places(sentence)[0] is not None for sentence in sentences]
    assert 160 < sum(shown) < 240
    assert shown[::-1] == [MIXED.places(sentence)[0] is not None for sentence in sentences[::-1]]
    other = Interleaving(seed=1)
    assert shown != [other.places(sentence)[0] is not None for sentence in sentences]


# --- interactive ---


def test_images_without_segments_are_passed_over(root: Path):
    path = root / "annotations" / "panoptic_val2017.json"
    content = json.loads(path.read_text())
    for segment in content["annotations"][0]["segments_info"]:
        segment["iscrowd"] = 1
    path.write_text(json.dumps(content))
    (root / "annotations" / "referring_val2017.json").unlink()
    folder = CocoFolder(root, "val2017", entities=None)
    result = interactive(Oracle(folder), folder, clicked_images=1, strokes=())
    assert result.images == 8 and result.details()["objects"] == 21
    assert {track.image_id for track in result.tracks} == {101} and result.to_json()["NoC@90"] == 1
    with pytest.raises(MissingAnnotations, match="no segments to click on"):
        interactive(Oracle(folder), folder, image_ids=[100])


def test_one_click_is_enough_for_the_truth(folder: CocoFolder):
    oracle = Oracle(folder)
    result = interactive(oracle, folder, clicked_images=3, batch_size=2)
    assert result.to_json() == {"mIoU@1": 100, "NoC@85": 1, "NoC@90": 1}
    assert (result.masks.all.count, len(result.tracks)) == (24, 9)
    # nobody clicks on what is already right, nor on crowd regions; four more strokes on the first three images
    assert sum(oracle.clicks) == 24 + 4 * 9


def test_a_mask_that_never_improves_costs_all_clicks(folder: CocoFolder):
    oracle = HalfMasks(folder)
    result = interactive(oracle, folder, clicked_images=2, max_clicks=5, strokes=(), batch_size=2)
    assert result.to_json() == pytest.approx({"mIoU@1": 50, "NoC@85": 5, "NoC@90": 5})
    # one round for all 24 segments, four more for the 6 of two images
    assert sum(oracle.clicks) == 24 + 4 * 6


def test_later_clicks_correct_the_larger_error(folder: CocoFolder):
    class Learns(Oracle):
        def interact(self, images, strokes, negatives=None):
            answers = super().interact(images, strokes, negatives)
            for row, stack, against in zip(answers, strokes, negatives, strict=True):
                assert not against.any()  # the answers below miss pixels but never add any
                for number, stroke in enumerate(stack):
                    clicks = stroke.sum() // 9
                    if clicks < 2:
                        row[number] = replace(row[number], mask=HalfMasks.fault(self, row[number].mask))
            return answers

    result = interactive(Learns(folder), folder, image_ids=folder.image_ids[:2])
    assert result.to_json() == pytest.approx({"mIoU@1": 50, "NoC@85": 2, "NoC@90": 2})


# --- retrieval ---


def test_the_truth_finds_every_image_and_every_caption(folder: CocoFolder):
    result = retrieval(Oracle(folder), folder, batch_size=3)
    assert set(result.to_json().values()) == {100}
    assert (result.gallery, result.image.count, result.text.count) == (8, 16, 8)


def test_a_neighbour_is_not_found_and_a_constant_finds_nothing(folder: CocoFolder):
    for system in (Neighbour, Constant):
        figures = retrieval(system(folder), folder).to_json()
        assert figures["IR@1"] == figures["TR@1"] == figures["IR@5"] == figures["TR@5"] == 0


def test_images_without_captions_leave_the_gallery(root: Path):
    path = root / "annotations" / "captions_val2017.json"
    content = json.loads(path.read_text())
    content["annotations"] = content["annotations"][:6]
    path.write_text(json.dumps(content))
    folder = CocoFolder(root, "val2017")
    assert retrieval(Oracle(folder), folder).gallery == 3
    content["annotations"] = []
    path.write_text(json.dumps(content))
    folder = CocoFolder(root, "val2017")
    with pytest.raises(MissingAnnotations, match="no captions"):
        retrieval(Oracle(folder), folder)


def test_interleaved_retrieval_of_the_truth_in_both_galleries(folder: CocoFolder):
    result = interleaved_retrieval(Oracle(folder), folder, gallery=4, large_gallery=8, batch_size=3)
    assert result.to_json() == {"IR@1": 100, "IR@5": 100, "IR@10": 100}
    assert (result.gallery.size, result.gallery.combined.all.count) == (4, 4)
    assert (result.large.size, result.large.combined.all.count) == (8, 8)
    assert result.large.combined.held_out.count == 2
    assert result.hard_negatives.combined == 1
    assert result.hard_negatives.by_change == {"colour": 1}
    assert interleaved_retrieval(Oracle(folder), folder, large_gallery=9).large is None


def test_an_image_that_owns_the_region_leaves_the_gallery_unless_kept(folder: CocoFolder):
    # The neighbour is just the image whose dog is shown: with it gone, all that is left scores alike, so last of 7.
    result = interleaved_retrieval(Neighbour(folder), folder, interleaving=VISUAL).gallery
    assert result.combined.all.at_5 == 0
    assert result.combined.all.at_10 == 1
    shown_own = Interleaving(mode=EntityMode.VISUAL, source=RegionSource.SAME)
    result = interleaved_retrieval(Oracle(folder), folder, interleaving=shown_own).gallery
    assert result.combined.all.at_1 == result.owners_kept.at_1 == 1


def test_hard_negatives_are_lost_by_a_system_that_cannot_tell_them(folder: CocoFolder):
    negatives = interleaved_retrieval(Constant(folder), folder).hard_negatives
    assert (negatives.combined, negatives.sentence_term, negatives.by_change["colour"]) == (0, 0, 0)
    assert (negatives.sentences, negatives.negatives) == (8, 8)


def test_a_lead_of_a_rounding_is_no_win_over_hard_negatives(folder: CocoFolder):
    class Barely(Oracle):
        def __init__(self, folder: CocoFolder, lead: float) -> None:
            super().__init__(folder)
            self.lead = lead

        def embed_queries(self, queries):
            return PooledQueries(0.25 + self.lead * super().embed_queries(queries).query)

    for lead, won in ((2e-7, 0), (1e-4, 1)):
        assert interleaved_retrieval(Barely(folder, lead), folder).hard_negatives.combined == won


def test_a_main_gallery_without_sentences_is_told(root: Path):
    path = root / "annotations" / "entity_val2017.json"
    content = json.loads(path.read_text())
    content["annotations"] = [one for one in content["annotations"] if one["image_id"] >= 104]
    path.write_text(json.dumps(content))
    (root / "annotations" / "hard_negatives_val2017.json").unlink()
    folder = CocoFolder(root, "val2017")
    with pytest.raises(MissingAnnotations, match="one of the 4 images of the gallery"):
        interleaved_retrieval(Oracle(folder), folder, gallery=4, large_gallery=8)


def test_hard_negatives_must_belong_to_a_true_sentence_of_their_image(folder: CocoFolder):
    path = folder.annotations / "hard_negatives_val2017.json"
    content = json.loads(path.read_text())
    content["annotations"][3]["sentence_id"] = 4
    path.write_text(json.dumps(content))
    with pytest.raises(FindError, match="about image 103, but its true sentence 4 about image 104"):
        read_hard_negatives(folder)
    del content["annotations"][3]["sentence_id"]
    path.write_text(json.dumps(content))
    with pytest.raises(FindError, match="sentence 3: the field 'sentence_id' is missing"):
        read_hard_negatives(folder)


def test_the_true_sentence_comes_from_the_entity_file_whatever_the_folder_reads(root: Path):
    long = [{"id": 0, "image_id": 100, "sentence": "a paragraph", "phrase": []}]
    (root / "annotations" / "entity_val2017_long.json").write_text(json.dumps({"images": [], "annotations": long}))
    folder = CocoFolder(root, "val2017", entities="entity_val2017_long")
    assert read_hard_negatives(folder)[0].truth.text == "a red dog left of a car"


# --- real data ---


@pytest.mark.parametrize("entities", ["entity_val2017_long", "interleave_val2017"])
def test_the_truth_scores_100_on_real_photographs(shared: Path, entities: str):
    folder = CocoFolder(shared / "coco-sample" / "coco", "val2017", entities=entities)
    some = {"image_ids": folder.image_ids[40:44], "batch_size": 3}
    oracle = Oracle(folder, some["image_ids"])
    assert interleaved_segmentation(oracle, folder, interleaving=VISUAL, **some).to_json()["cIoU"] == 100
    assert grounding(oracle, folder, **some).to_json()["cIoU"] > 95  # a phrase may occur twice and mean two things
    figures = panoptic(oracle, folder, **some).to_json()
    assert (figures["PQ"], figures["mIoU"]) == pytest.approx((100, 100))
    assert figures["AP"] > 80  # objects overlap in the instances file, but not in panoptic maps
