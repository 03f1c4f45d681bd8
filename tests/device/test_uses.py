"""What uses the model, on the device: evaluation of every task, indexing and searching an album, the service."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from find.evaluation.evaluate import evaluate
from find.evaluation.results import METRICS
from find.model.model import FIND
from find.query.query import Query
from find.retrieval.album import Album

QUERY = "{a red dog} near {a car}"
pytestmark = pytest.mark.filterwarnings("ignore::find.errors.UnknownWordsWarning")


def test_every_task_has_the_cpus_figures(on_cpu: FIND, there: FIND, world: Path):
    options = {"limit": 1, "clicked_images": 1, "progress": False}
    expected, found = (evaluate(model, world, **options).to_json() for model in (on_cpu, there))
    assert set(METRICS) <= set(found)
    for task in METRICS:
        # Untrained scores lie close together, so rounding may swap two of them.
        assert found[task] == pytest.approx(expected[task], abs=2), task


def test_an_album_is_indexed_and_searched(on_cpu: FIND, there: FIND, world: Path, tmp_path: Path):
    photos = world / "val2017"
    albums = [
        Album.build(model, photos, tmp_path / f"{name}.album", progress=False)
        for name, model in (("cpu", on_cpu), ("device", there))
    ]
    expected, found = ({hit.name: hit.score for hit in album.search(Query.parse(QUERY), 4)} for album in albums)
    assert found == pytest.approx(expected, abs=1e-4)


def test_the_service_answers(on_cpu: FIND, there: FIND, world: Path, tmp_path: Path):
    pytest.importorskip("fastapi", reason="the service needs: pip install 'findvl[serve]'")
    from fastapi.testclient import TestClient

    from find.serving.app import create_app

    photos = world / "val2017"
    picture = base64.b64encode(next(iter(sorted(photos.glob("*.jpg")))).read_bytes()).decode()
    answers = []
    for number, model in enumerate((on_cpu, there)):
        album = Album.build(model, photos, tmp_path / f"{number}.album", progress=False)
        with TestClient(create_app(album), base_url="http://localhost") as client:
            asked = [
                client.post("/search", json={"query": QUERY, "k": 4}),
                client.post("/segment", json={"image": picture, "query": QUERY}),
                client.post("/embed", json={"queries": [QUERY]}),
                client.post("/embed", json={"pictures": [picture]}),
            ]
        assert [answer.status_code for answer in asked] == [200] * 4, [answer.text[:300] for answer in asked]
        answers.append(asked)
    expected, found = (answer[0].json()["hits"] for answer in answers)
    assert {hit["name"]: hit["score"] for hit in found} == pytest.approx(
        {hit["name"]: hit["score"] for hit in expected}, abs=1e-4
    )
