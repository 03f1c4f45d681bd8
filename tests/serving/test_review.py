"""Claims about the review page, in a browser: keys and clicks change the file as they say, and the model draws."""

import json
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from find.images.rle import decode

sync_api = pytest.importorskip("playwright.sync_api", reason="tests of the page need: pip install playwright")
expect = sync_api.expect


@pytest.fixture(scope="module")
def found(model, photos, tmp_path_factory):
    import find

    names = ["{a dog}", "{a cat}", "{a chair}", "{an umbrella}", "{a cup}", "{a kite}", "{a person}", "{a clock}"]
    found = find.label(model, photos, names, threshold=0.3, progress=False)
    # Photos with several objects come first: the page opens the first one. On the last one nothing was found.
    *photos, last = sorted(found.photos, key=lambda photo: -len(photo.labels))
    return replace(found, photos=[*photos, replace(last, labels=())])


@pytest.fixture
def labels(found, tmp_path):
    return found.save_coco(tmp_path / "labels.json")


@pytest.fixture
def page(browser, model, photos, labels):
    import uvicorn

    from find.annotation.labelling.review import Review
    from find.serving.review.app import create_review_app

    app = create_review_app(Review(labels, photos), model)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    page = browser.new_page(viewport={"width": 1100, "height": 800})
    wrong = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    try:
        page.goto(f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}")
        page.wait_for_selector("#objects li.selected")
        yield page
    finally:
        page.close()
        server.should_exit = True
        thread.join()
    refused = "the server responded with a status of 422"
    assert not [one for one in wrong if refused not in one]


def _read(labels):
    return json.loads(labels.read_text())


def _of_photo(content, name, kind="annotations"):
    (image,) = [one for one in content["images"] if one["file_name"] == name]
    return [one for one in content[kind] if one["image_id"] == image["id"]]


def _shown(page):
    return page.get_attribute("#stage .picture", "data-name")


def _click(page, x, y, **options):
    """The middle of a pixel of a photo of 160 x 160."""
    box = page.locator("#stage img").bounding_box()
    page.mouse.click(box["x"] + (x + 0.5) / 160 * box["width"], box["y"] + (y + 0.5) / 160 * box["height"], **options)


def _press(page, key):
    with page.expect_response(lambda answer: answer.request.method == "POST"):
        page.keyboard.press(key)


def test_keys_keep_drop_and_take_back(page, labels):
    name, before = _shown(page), _read(labels)
    mine = _of_photo(before, name)
    assert page.locator("#objects li").count() == len(mine) >= 2
    _press(page, "k")
    expect(page.locator("#objects li").nth(0)).to_contain_text("kept")
    expect(page.locator("#objects li").nth(1)).to_have_class("undecided selected")  # the next one is selected
    _press(page, "d")
    expect(page.locator("#objects li").nth(1)).to_contain_text("dropped")
    after = _read(labels)
    assert [one["id"] for one in _of_photo(after, name, "dropped")] == [mine[1]["id"]]
    assert _of_photo(after, name)[0] == mine[0] | {"review": "kept"}
    while page.locator("#objects li").nth(1).get_attribute("class") != "dropped selected":
        page.keyboard.press("ArrowUp" if page.locator("#objects li.selected").count() else "ArrowDown")
    _press(page, "u")
    expect(page.locator("#objects li").nth(1)).to_contain_text("undecided")
    assert _of_photo(_read(labels), name)[1] == mine[1]


def test_a_click_has_the_selected_object_drawn_anew(page, labels, model, photos):
    name = _shown(page)
    (first, *_) = _of_photo(_read(labels), name)
    x0, y0, width, height = first["bbox"]
    x, y = int(x0 + width / 2), int(y0 + height / 2)
    with page.expect_response("**/mask"):
        _click(page, x, y)
    expect(page.locator("#objects li").nth(0)).to_contain_text("corrected")
    one = _of_photo(_read(labels), name)[0]
    expected = model.interact(photos / name, (x, y)).mask
    assert np.array_equal(decode(one["segmentation"], (160, 160)), expected)
    assert one["id"] == first["id"] and one["found"]["segmentation"] == first["segmentation"]
    with page.expect_response("**/mask") as answer:
        _click(page, 150, 5, button="right")
    assert answer.value.request.post_data_json == {"points": [[x, y]], "negatives": [[150, 5]], "box": None}
    expect(page.locator("#stage .mark")).to_have_count(2)
    _press(page, "z")
    _press(page, "z")
    expect(page.locator("#objects li").nth(0)).to_contain_text("undecided")
    assert _of_photo(_read(labels), name)[0] == first


def test_what_was_not_found_is_added_by_a_box_with_its_class(page, labels, model, photos):
    name, before = _shown(page), _read(labels)
    page.keyboard.press("n")
    page.select_option("#category", label="2 cat")
    box = page.locator("#stage img").bounding_box()
    at = lambda x, y: (box["x"] + (x + 0.5) / 160 * box["width"], box["y"] + (y + 0.5) / 160 * box["height"])  # noqa: E731
    with page.expect_response("**/objects"):
        page.mouse.move(*at(20, 30))
        page.mouse.down()
        page.mouse.move(*at(89, 119), steps=4)
        page.mouse.up()
    expect(page.locator("#objects li.selected")).to_contain_text("added")
    new = _of_photo(_read(labels), name)[-1]
    assert new["id"] == max(one["id"] for one in before["annotations"]) + 1
    assert new["category_id"] == 2 and new["review"] == "added"
    expected = model.interact(photos / name, (20, 30, 90, 120)).mask
    assert np.array_equal(decode(new["segmentation"], (160, 160)), expected)
    _press(page, "1")
    assert _of_photo(_read(labels), name)[-1]["category_id"] == 1


def test_quick_clicks_add_one_object_and_undo_takes_back_what_they_changed(page, labels):
    name, before = _shown(page), _read(labels)
    page.keyboard.press("n")
    with page.expect_response("**/mask"):  # the second click waits for the object that the first one adds
        _click(page, 60, 60)
        _click(page, 62, 62)
    page.wait_for_load_state("networkidle")
    assert len(_read(labels)["annotations"]) == len(before["annotations"]) + 1
    page.locator("#objects li .name").first.click()
    _press(page, "k")
    page.locator("#objects li .name").first.click()
    with page.expect_response("**/mask"):
        _click(page, 60, 60)
    expect(page.locator("#objects li").nth(0)).to_contain_text("corrected")
    _press(page, "z")
    expect(page.locator("#objects li").nth(0)).to_contain_text("kept")
    assert _of_photo(_read(labels), name)[0] == _of_photo(before, name)[0] | {"review": "kept"}


def test_undoing_a_click_leaves_the_class_given_after_it(page, labels):
    name = _shown(page)
    (first, *_) = _of_photo(_read(labels), name)
    other = next(number for number in (1, 2) if number != first["category_id"])
    with page.expect_response("**/mask"):
        _click(page, 60, 60)
    _press(page, str(other))
    _press(page, "z")
    expect(page.locator("#objects li").nth(0)).to_contain_text("kept")
    one = _of_photo(_read(labels), name)[0]
    assert (one["category_id"], one["segmentation"]) == (other, first["segmentation"])


def test_a_photo_without_objects_says_what_to_do_and_enter_goes_on_after_reading_the_help(page, labels):
    content = _read(labels)
    photo = [one["image_id"] for one in content["annotations"]]
    empty = next(place for place, one in enumerate(content["images"]) if one["id"] not in photo)
    page.select_option("#photos", str(empty))
    expect(page.locator("#said")).to_contain_text("nothing was found on this photo")
    page.click("summary")
    expect(page.locator("details dl")).to_be_visible()
    page.locator("#stage img").wait_for()
    _press(page, "Enter")
    expect(page.locator("#progress")).to_contain_text(f"1 of {len(content['images'])} photos reviewed")


def test_photos_that_were_passed_by_are_not_encoded(monkeypatch):
    from find.serving.review.app import Desk

    encoded = []
    monkeypatch.setattr(Desk, "_state", lambda desk, photo: None)
    monkeypatch.setattr(Desk, "_features", lambda desk, photo: encoded.append(photo))
    desk = Desk(None, None)
    desk._thread.submit(lambda: [desk.photo(number) for number in range(5)]).result()
    desk._thread.submit(lambda: None).result()  # after all that was queued
    desk.close()
    assert encoded == [3, 4]


def test_enter_goes_through_all_photos(page, labels):
    names = [one["file_name"] for one in _read(labels)["images"]]
    for number in range(len(names)):
        _press(page, "Enter")
        expect(page.locator("#progress")).to_contain_text(f"{number + 1} of {len(names)} photos reviewed")
        page.wait_for_load_state("networkidle")
    expect(page.locator("#said")).to_contain_text("the file is complete")
    content = _read(labels)
    assert all(one["review"] == "kept" for one in content["annotations"])
    assert all(one["reviewed"] for one in content["images"])
    assert content["info"]["review"]["reviewed"] == len(names)
    page.keyboard.press("ArrowLeft")
    page.reload()
    page.wait_for_selector("#objects li")
    expect(page.locator("#progress")).to_contain_text(f"{len(names)} of {len(names)}")


def test_errors_are_shown_and_leave_the_page_usable(page, labels):
    labels.write_text("{}")  # another program
    _press(page, "k")
    expect(page.locator("#said")).to_contain_text("another program has changed it")
    assert labels.read_text() == "{}"
    page.keyboard.press("ArrowRight")
    page.wait_for_load_state("networkidle")


def test_a_narrow_screen_needs_no_sideways_scrolling(page):
    page.set_viewport_size({"width": 360, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    for name in ("Keep object 1", "Drop object 1", "Next photo"):
        assert page.get_by_role("button", name=name, exact=True).is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation(page, scheme):
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="needs: pip install axe-playwright-python"
    )
    page.emulate_media(color_scheme=scheme)
    _press(page, "k")
    _press(page, "d")
    page.click("summary")
    found = axe.Axe().run(page).response["violations"]
    assert not found, [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in found]
