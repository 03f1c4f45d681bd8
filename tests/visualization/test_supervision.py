"""Claims about supervision's Detections, with the real library."""

import numpy as np
import pytest
from colors import ColorModel, paint

from find.errors import FindError
from find.model.predictions import EntityMask, InstancePrediction, PanopticPrediction, PredictedSegment
from find.query.query import Phrase, Query
from find.retrieval.album import Album
from find.visualization.supervision import entities_to_supervision, instances_to_supervision, panoptic_to_supervision

sv = pytest.importorskip("supervision")


def _mask(x0, y0, x1, y1):
    mask = np.zeros((6, 8), bool)
    mask[y0:y1, x0:x1] = True
    return mask


def test_entities_keep_their_names_and_empty_masks_are_left_out():
    query = Query(Phrase("a dog"), " and ", Phrase("a cat"))
    masks = [EntityMask(_mask(0, 0, 0, 0), 0.2), EntityMask(_mask(2, 1, 5, 4), 0.75)]
    found = entities_to_supervision(masks, query)
    assert found.data["class_name"].tolist() == ["a cat"] and found.class_id.tolist() == [1]
    assert found.xyxy.tolist() == [[2, 1, 5, 4]] and found.confidence.tolist() == [0.75]
    assert (found.mask[0] == masks[1].mask).all()
    assert len(entities_to_supervision(masks[:1], ["a dog"])) == 0
    with pytest.raises(FindError, match="2 masks but 1 names"):
        entities_to_supervision(masks, ["a dog"])


def test_segments_of_a_panoptic_map_and_instances_say_the_same():
    names = ["dog", "sky"]
    sky, dog = _mask(0, 0, 8, 3), _mask(1, 3, 3, 6)
    segments = (PredictedSegment(1, 1, 0.9), PredictedSegment(2, 0, 0.5))
    panoptic = panoptic_to_supervision(PanopticPrediction(sky * 1 + dog * 2, segments), names)
    instances = instances_to_supervision(
        InstancePrediction(np.stack([sky, dog]), np.array([1, 0]), np.array([0.9, 0.5])), names
    )
    assert panoptic == instances
    assert panoptic.data["class_name"].tolist() == ["sky", "dog"]


def test_hits_can_be_drawn_by_supervision(tmp_path):
    paint(tmp_path / "photos/a.png", "red", "green", size=(32, 24))
    album = Album.build(ColorModel(), tmp_path / "photos", tmp_path / "my.album", progress=False)
    hit = album.search(Query(Phrase("green")) & Phrase("red") - Phrase("blue"))[0]
    found = hit.to_supervision()
    assert found.data["class_name"].tolist() == ["green", "red"]
    assert found.xyxy.tolist() == [list(hit.box(part=0)), list(hit.box(part=1))]
    assert found.confidence == pytest.approx([1, 1], abs=1e-3)
    assert found.area.sum() == pytest.approx(32 * 24, rel=0.1)
    drawn = sv.LabelAnnotator().annotate(sv.MaskAnnotator().annotate(hit.pixels().copy(), found), found)
    assert drawn.shape == (24, 32, 3) and (drawn != hit.pixels()).any()
