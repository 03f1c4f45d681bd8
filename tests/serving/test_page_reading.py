"""Claims about the page for everybody: keyboard, narrow screens, dark mode, axe-core's checks; and films."""

import time

import numpy as np
import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="tests of the page need: pip install playwright")
expect = sync_api.expect


def searched(page, query="{a red dog} left of {a car}"):
    page.fill("#query", query)
    page.press("#query", "Enter")
    page.wait_for_selector("#hits .parts", state="attached")


def test_hits_are_walked_and_opened_by_the_keyboard(page):
    searched(page)
    buttons = page.locator("#hits .open")
    buttons.first.focus()
    page.keyboard.press("ArrowRight")
    expect(buttons.nth(1)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#viewer")).to_be_visible()
    name = page.inner_text("#viewer-title")
    assert name in buttons.nth(1).inner_text()
    expect(page.locator("#viewer img")).to_have_js_property("complete", True)
    assert page.locator("#viewer img").evaluate("one => one.naturalWidth") == 480
    page.focus("#viewer-close")
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#viewer-title") in buttons.nth(2).inner_text()
    page.keyboard.press("Escape")
    expect(page.locator("#viewer")).to_be_hidden()
    expect(buttons.nth(2)).to_be_focused()


def test_an_object_is_segmented_by_the_keyboard_alone(page, names):
    page.focus("#to-segment")
    page.keyboard.press("Enter")
    page.wait_for_selector("#choices button")
    page.focus("#choices button")
    page.keyboard.press("Enter")
    picture = page.wait_for_selector("#stage .picture")
    page.focus("#clear")
    page.keyboard.press("Shift+Tab")
    while not picture.evaluate("one => one === document.activeElement"):
        page.keyboard.press("Tab")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Shift+ArrowDown")
    with page.expect_request("**/interact") as request:
        page.keyboard.press("Enter")
    assert request.value.post_data_json["points"] == [[75, 81]]
    page.keyboard.press("b")
    page.keyboard.press("Shift+ArrowRight")
    with page.expect_request("**/interact") as request:
        page.keyboard.press("b")
    assert request.value.post_data_json["box"] == [75, 81, 77, 82]


@pytest.mark.parametrize("mode", ["search", "segment"])
def test_a_narrow_screen_needs_no_sideways_scrolling(page, mode):
    page.set_viewport_size({"width": 360, "height": 700})
    page.click(f"#to-{mode}")
    if mode == "search":
        page.click("#more summary")
        page.click("#add-without")
        searched(page)
    else:
        page.click("#everything summary")
        page.click("#choices button >> nth=0")
        page.fill("#phrase", "{a dog} on {the grass behind a very long word: Donaudampfschifffahrtsgesellschaft}")
        page.press("#phrase", "Enter")
        page.wait_for_selector("#things li")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("mode", ["search", "viewer", "segment"])
def test_axe_finds_no_violation(page, mode, scheme):
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="needs: pip install axe-playwright-python"
    )
    page.emulate_media(color_scheme=scheme)
    if mode == "segment":
        page.click("#to-segment")
        page.click("#everything summary")
        page.click("#choices button >> nth=0")
        page.fill("#phrase", "{a dog} on {grass}")
        page.press("#phrase", "Enter")
        page.wait_for_selector("#things button")
    else:
        page.click("#more summary")
        page.click("#add-without")
        searched(page, "a red dog left of a car")
        page.locator("#hits summary").first.click()
    if mode == "viewer":
        page.locator("#hits .open").first.click()
        page.wait_for_selector("#viewer-parts li")
    found = axe.Axe().run(page).response["violations"]
    assert not found, [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in found]


# --- films -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def film_album(model, photos, names, tmp_path_factory):
    """Two photographs, and a film that shows them for three seconds each."""
    av = pytest.importorskip("av", reason="films need: pip install 'findvl[video]'")
    from find.images.images import read_image
    from find.retrieval.album import Album

    folder = tmp_path_factory.mktemp("films")
    frames = [read_image(photos / name) for name in names[:2]]
    with av.open(str(folder / "walk.webm"), "w") as container:
        stream = container.add_stream("libvpx-vp9", rate=4)
        stream.width = stream.height = 160
        stream.pix_fmt = "yuv420p"
        for picture in [frames[0]] * 12 + [frames[1]] * 12:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")))
        container.mux(stream.encode())
    for name in names[2:4]:
        (folder / name).write_bytes((photos / name).read_bytes())
    return Album.build(model, folder, tmp_path_factory.mktemp("film-album") / "films.album", progress=False)


def test_moments_of_a_film_are_one_hit_that_plays_from_them(browser, film_album, serve, open_page):
    with serve(film_album) as address, open_page(browser, address) as page:
        searched(page, "{a dog}")
        expect(page.locator("#hits figure")).to_have_count(3)
        assert "3 images" in page.inner_text("#said")
        film = page.locator("#hits figure", has_text="walk.webm")
        likely = film_album.search("{a dog}", 8, min_relevance=0.5, where="seconds IS NOT NULL")
        first, last = min(one.seconds for one in likely), max(one.seconds for one in likely)
        assert 0 < last - first <= 2 < len(likely), "the case of one interval that is a part of the film"
        assert film.locator(".moments button").all_inner_texts() == [f"0:0{int(first)}–0:0{int(last)}"]
        film.locator(".picture").click()
        film = page.wait_for_selector("#viewer video")
        began = float(film.get_attribute("aria-label").split()[-2])
        end = time.monotonic() + 10
        while not (now := film.evaluate("one => one.currentTime")) > began and time.monotonic() < end:
            page.wait_for_timeout(50)
        assert now > began, "the film does not play"
        assert film.evaluate("one => one.duration") == pytest.approx(6, abs=0.3)
        page.keyboard.press("Escape")


def test_a_film_with_the_name_of_a_page_is_sent_as_a_film(film_album, tmp_path, monkeypatch):
    from fastapi.testclient import TestClient

    from find.serving.app import create_app

    page = tmp_path / "clip.html"
    page.write_text("<script>alert(1)</script>")
    monkeypatch.setattr("find.serving.service.video_file", lambda album, name: page)
    with TestClient(create_app(film_album), base_url="http://localhost") as client:
        headers = client.get("/videos/clip.html").headers
    assert headers["content-type"] == "video/mp4" and headers["x-content-type-options"] == "nosniff"


def test_only_films_of_the_album_are_sent_as_files(film_album, names):
    from fastapi.testclient import TestClient

    from find.serving.app import create_app

    with TestClient(create_app(film_album), base_url="http://localhost") as client:
        whole = client.get("/videos/walk.webm")
        part = client.get("/videos/walk.webm", headers={"range": "bytes=10-19"})
        assert whole.headers["content-type"] == "video/webm" and part.status_code == 206
        assert part.content == whole.content[10:20]
        for path in (names[2], "../films/walk.webm", "none.webm"):
            assert client.get(f"/videos/{path}").status_code == 404
