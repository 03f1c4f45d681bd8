"""An album of a small world, and its service inside this process."""

import base64
import shutil
import threading
import time
from contextlib import contextmanager
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


# --- the page, in a browser ------------------------------------------------------------------------------------------


@contextmanager
def _serving(album, limits=None):
    import uvicorn

    from find.serving.app import create_app

    app = create_app(album, limits=limits)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    server.service = app.state.service
    try:
        yield server
    finally:
        server.should_exit = True
        thread.join()


def _address(server) -> str:
    return f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"


@pytest.fixture
def serve():
    """Serves an album while it is used: gives its address."""

    @contextmanager
    def serving(album, limits=None):
        with _serving(album, limits) as server:
            yield _address(server)

    return serving


@pytest.fixture(scope="session")
def server(album):
    with _serving(album) as server:
        yield server


@pytest.fixture
def service(server):
    return server.service


@pytest.fixture(scope="session")
def address(server) -> str:
    return _address(server)


@pytest.fixture(scope="session")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="tests of the page need: pip install playwright")
    if shutil.which("chromium") is None:
        pytest.skip("tests of the page need Debian's package chromium")
    sync_api.expect.set_options(timeout=30_000)  # of an assertion; a machine may be busy
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def _open_page(browser, address):
    page = browser.new_page()
    page.wrong = []
    page.on("pageerror", lambda error: page.wrong.append(str(error)))
    page.on("console", lambda message: page.wrong.append(message.text) if message.type == "error" else None)
    page.goto(address)
    page.wait_for_selector("#hits .picture")
    yield page
    page.close()
    assert not page.wrong


@pytest.fixture
def open_page():
    """Opens the page of a service; what it logs as errors fails the test."""
    return _open_page


@pytest.fixture
def page(browser, address):
    with _open_page(browser, address) as page:
        yield page
