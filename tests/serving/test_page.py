"""Claims about the page, in a browser: clicks, drags and words show the masks that the service tells."""

import io
import shutil
import threading
import time

import numpy as np
import pytest
from PIL import Image

sync_api = pytest.importorskip("playwright.sync_api", reason="tests of the page need: pip install playwright")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="tests of the page need Debian's package chromium")


@pytest.fixture(scope="module")
def address(album):
    import uvicorn

    from find.serving.app import create_app

    server = uvicorn.Server(uvicorn.Config(create_app(album), port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser, address):
    page = browser.new_page()
    wrong = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.goto(address)
    page.wait_for_selector("#hits .picture")
    yield page
    page.close()
    assert not wrong


def _segment(page, name):
    page.click("#to-segment")
    page.click(f"#choices button:has-text('{name}')")
    return page.wait_for_selector("#stage img")


def _at(picture, x, y):
    """The middle of a pixel of a picture of 160 x 160, on the screen."""
    picture.scroll_into_view_if_needed()
    box = picture.bounding_box()
    return box["x"] + (x + 0.5) / 160 * box["width"], box["y"] + (y + 0.5) / 160 * box["height"]


def _drag(page, picture, start, end):
    page.mouse.move(*_at(picture, *start))
    page.mouse.down()
    page.mouse.move(*_at(picture, *end), steps=4)
    page.mouse.up()


def _saved(page):
    with page.expect_download() as download:
        page.click("#things button")
    return np.asarray(Image.open(io.BytesIO(download.value.path().read_bytes())).convert("L")) > 0


def test_clicks_and_boxes_give_the_model_s_masks_as_png(page, model, photos, names):
    picture = _segment(page, names[0])
    page.mouse.click(*_at(picture, 60, 100))
    page.wait_for_selector("#things li")
    assert "score" in page.inner_text("#things")
    assert np.array_equal(_saved(page), model.interact(photos / names[0], (60, 100)).mask)
    with page.expect_response("**/interact") as answer:
        page.mouse.click(*_at(picture, 10, 10), button="right")
    assert answer.value.request.post_data_json["negatives"] == [[10, 10]]
    page.click("#clear")
    with page.expect_response("**/interact") as answer:
        _drag(page, picture, (20, 30), (89, 119))
    assert answer.value.request.post_data_json["box"] == [20, 30, 90, 120]
    page.wait_for_selector("#stage canvas")
    assert np.array_equal(_saved(page), model.interact(photos / names[0], (20, 30, 90, 120)).mask)


def test_words_and_uploads_are_segmented(page, model, photos, names):
    page.click("#to-segment")
    page.set_input_files("#open", photos / names[1])
    page.wait_for_selector("#stage img")
    page.fill("#phrase", "a dog")
    page.press("#phrase", "Enter")
    page.wait_for_selector("#things li")
    (found,) = model.segment(photos / names[1], "{a dog}")
    told = f"score {found.score:.2f}, present with probability {found.present:.2f}"
    assert told in page.inner_text("#things")
    assert np.array_equal(_saved(page), found.mask)


def test_pointing_joins_the_query_and_shows_what_was_taken(page, names):
    picture = page.query_selector("#hits .picture")
    name = picture.get_attribute("data-name")
    page.mouse.click(*_at(picture, 60, 100))
    page.wait_for_selector("#hits canvas")
    picture = page.query_selector(f"#hits .picture[data-name='{name}']")
    _drag(page, picture, (20, 30), (89, 119))
    assert page.input_value("#query") == f"[{name}@60,100] [{name}@20,30,90,120]"
    sync_api.expect(page.locator("#hits canvas")).to_have_count(2)
    canvas = page.query_selector("#hits canvas")
    page.type("#query", " on grass")
    assert canvas.evaluate("one => one.isConnected"), "typing painted the masks anew"
    page.press("#query", "Enter")
    sync_api.expect(page.locator("#said")).to_contain_text("images in")


def test_plain_words_tell_their_things_and_nothing_found_is_told(page):
    page.fill("#query", "a red dog left of a car")
    page.press("#query", "Enter")
    page.wait_for_selector("#read mark")
    assert page.locator("#read mark").all_inner_texts() == ["a red dog", "a car"]
    page.fill("#relevance", "1")
    page.press("#query", "Enter")
    sync_api.expect(page.locator("#said")).to_contain_text("nothing found")
    assert page.locator("#hits figure").count() == 0


@pytest.mark.parametrize("mode", ["search", "segment"])
def test_a_narrow_screen_needs_no_sideways_scrolling(page, mode):
    page.set_viewport_size({"width": 360, "height": 700})
    page.click(f"#to-{mode}")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
