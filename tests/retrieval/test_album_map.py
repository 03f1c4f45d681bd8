"""Claims about the map of an album: what is alike lies together, queries name clusters, the page needs nothing else."""

import base64
import io
import json
import re
import shutil

import numpy as np
import pytest
from colors import ColorModel, paint
from PIL import Image

from find.errors import FindError
from find.query.query import Phrase, Query
from find.retrieval.album import Album
from find.retrieval.album_map import MapSettings, make_map

NAMES = [Query(Phrase(color)) for color in ("red", "green", "blue")]
HARMFUL = "a <script>alert(1)<"


@pytest.fixture(scope="module")
def album(tmp_path_factory):
    """Twelve pictures of each of three colours, one of them with markup in its name."""
    folder = tmp_path_factory.mktemp("map")
    for color in ("red", "green", "blue"):
        for number in range(12):
            name = f"{color}{HARMFUL if number == 3 else number}.png"
            paint(folder / "photos" / name, color, color, size=(40 + number, 30))
    return Album.build(ColorModel(), folder / "photos", folder / "my.album", progress=False)


@pytest.fixture(scope="module")
def mapped(album):
    return make_map(album, names=NAMES, settings=MapSettings(clusters=3, layout="pca"))


def test_clusters_are_the_colours_and_have_their_names(mapped):
    assert len(mapped.pictures) == 36 and mapped.unreadable == ()
    for picture in mapped.pictures:
        assert picture.name.startswith(mapped.clusters[picture.cluster].name)
    assert sorted((cluster.name, cluster.size) for cluster in mapped.clusters) == [
        ("blue", 12),
        ("green", 12),
        ("red", 12),
    ]


def test_what_is_alike_lies_together(mapped):
    places = np.array([[picture.x, picture.y] for picture in mapped.pictures])
    of = np.array([picture.cluster for picture in mapped.pictures])
    apart = np.linalg.norm(places[:, None] - places[None], axis=-1)
    same = of[:, None] == of[None]
    assert apart[same].max() < 0.01 and apart[~same].min() > 0.3
    assert places.min() == pytest.approx(0) and places.max() == pytest.approx(1)


def test_a_sample_is_spread_over_the_album_and_clusters_without_queries_are_numbered(album):
    found = make_map(album, settings=MapSettings(clusters=3, most=9, layout="pca"))
    assert sorted(picture.name[0] for picture in found.pictures) == sorted("rgb" * 3)
    assert [cluster.name for cluster in found.clusters] == ["cluster 1", "cluster 2", "cluster 3"]


@pytest.mark.slow  # numba compiles UMAP for the first use
def test_umap_keeps_clusters_apart(album):
    pytest.importorskip("umap", reason="needs: pip install 'findvl[map]'")
    found = make_map(album, settings=MapSettings(clusters=3, layout="umap"))
    places = np.array([[picture.x, picture.y] for picture in found.pictures])
    of = np.array([picture.cluster for picture in found.pictures])
    apart = np.linalg.norm(places[:, None] - places[None], axis=-1)
    np.fill_diagonal(apart, np.inf)
    assert found.layout == "UMAP" and (of[apart.argmin(1)] == of).all()
    few = make_map(album, settings=MapSettings(clusters=3, most=3, layout="umap"))  # the least that a map needs
    assert len({(picture.x, picture.y) for picture in few.pictures}) == 3


def test_the_page_holds_all_and_no_name_ends_its_script(mapped, tmp_path):
    mapped.write(tmp_path / "map.html")
    page = (tmp_path / "map.html").read_text()
    assert not re.search(r"(src|href)=|@import|https?:", page)  # nothing from elsewhere
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    data = json.loads(text)
    assert any(HARMFUL in name for name, *_ in data["pictures"])
    picture = Image.open(io.BytesIO(base64.b64decode(data["pictures"][0][4])))
    assert max(picture.size) <= 96 and picture.format == "JPEG"


def test_files_that_are_gone_are_told_and_too_few_are_refused(tmp_path):
    for number in range(4):
        paint(tmp_path / "photos" / f"{number}.png", "red", "blue")
    album = Album.build(ColorModel(), tmp_path / "photos", tmp_path / "my.album", progress=False)
    (tmp_path / "photos" / "1.png").unlink()
    assert [file.name for file in make_map(album, settings=MapSettings(layout="pca")).unreadable] == ["1.png"]
    (tmp_path / "photos" / "2.png").unlink()
    with pytest.raises(FindError, match="three images that can be read"):
        make_map(album, settings=MapSettings(layout="pca"))
    with pytest.raises(FindError, match="without a model"):
        paint(tmp_path / "photos" / "1.png", "red", "blue")
        make_map(Album.open(tmp_path / "my.album"), names=NAMES, settings=MapSettings(layout="pca"))


def test_the_page_shows_pictures_and_picks_out_a_cluster(mapped, tmp_path):
    playwright = pytest.importorskip("playwright.sync_api", reason="needs: pip install playwright")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("needs Debian's package chromium")
    mapped.write(tmp_path / "map.html")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 360, "height": 640})
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: errors.append(request.url) if request.url.startswith("http") else None)
        page.goto((tmp_path / "map.html").as_uri())
        assert page.locator(".photo").count() == 36 and page.locator(".name").count() == 3
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        page.locator("#legend button").first.click()
        assert page.locator(".photo.pale").count() == 24
        page.locator(".photo:not(.pale)").last.dispatch_event("click")
        assert page.locator("dialog[open] img").is_visible()
        browser.close()
    assert errors == []
