"""An album of a small world, and its service inside this process."""

import base64
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the service needs: pip install 'findvl[serve]'")
pytest.importorskip("httpx", reason="tests of the service need httpx")


@pytest.fixture(scope="session")
def model():
    from find.model.model import FIND

    return FIND.from_pretrained().eval()


@pytest.fixture(scope="session")
def photos(tmp_path_factory) -> Path:
    from find.world import generate_world

    world = generate_world(tmp_path_factory.mktemp("world"), images=1, val_images=6, seed=5, workers=1)
    return world / "val2017"


@pytest.fixture(scope="session")
def album(model, photos, tmp_path_factory):
    from find.retrieval.album import Album

    return Album.build(model, photos, tmp_path_factory.mktemp("album") / "world.album", progress=False)


@pytest.fixture(scope="session")
def names(photos) -> list[str]:
    return sorted(file.name for file in photos.glob("*.jpg"))


@pytest.fixture(scope="session")
def encoded(photos, names) -> list[str]:
    """The photographs as requests carry them."""
    return [base64.b64encode((photos / name).read_bytes()).decode() for name in names]


@pytest.fixture(scope="session")
def client(album):
    from fastapi.testclient import TestClient

    from find.serving.app import create_app

    with TestClient(create_app(album), base_url="http://localhost", raise_server_exceptions=False) as client:
        yield client
