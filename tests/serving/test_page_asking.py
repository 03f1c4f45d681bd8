"""Claims about asking in the page: chips to correct, objects dragged to the sentence, uploads, keys, doubt."""

import io

import numpy as np
import pytest
from PIL import Image

sync_api = pytest.importorskip("playwright.sync_api", reason="tests of the page need: pip install playwright")
expect = sync_api.expect


def asked(page, action):
    """What a search sends, and what is answered."""
    with page.expect_response("**/search") as answer:
        action()
    return answer.value.request.post_data_json, answer.value.json()


def search(page, query):
    page.fill("#query", query)
    answer = asked(page, lambda: page.press("#query", "Enter"))
    page.wait_for_selector("#hits .parts", state="attached")
    return answer


def on_screen(picture, x, y):
    """A place of a picture, in shares of its sides."""
    box = picture.bounding_box()
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


# --- chips -----------------------------------------------------------------------------------------------------------


def test_the_words_of_a_chip_are_corrected(page):
    search(page, "a red dog left of a car")
    page.click("#read .words:has-text('a red dog')")
    page.keyboard.type("a {green} dog")
    body, answer = asked(page, lambda: page.keyboard.press("Enter"))
    assert body["query"] == r"{a \{green\} dog} left of {a car}" == page.input_value("#query")
    assert answer["read_as"] == [body["query"]]
    expect(page.locator("#read .words").first).to_have_text("a {green} dog")
    expect(page.locator("#read .words").first).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.type("something else")
    page.keyboard.press("Escape")
    assert page.locator("#read .words").first.inner_text() == "a {green} dog"


def test_a_chip_becomes_plain_words_and_plain_words_a_chip(page):
    search(page, "{a red dog} left of {a car}")
    body, _ = asked(page, lambda: page.click("role=button[name='“a car” is no thing']"))
    assert body["query"] == "{a red dog} left of a car"
    expect(page.locator("#read .words")).to_have_text(["a red dog"])
    assert page.locator("#read .chip button").count() == 1, "the last thing cannot be taken out"
    body, _ = asked(page, lambda: page.click("#read .word >> text=car"))
    assert body["query"] == "{a red dog} left of a {car}"
    search(page, "{a red dog} on grass, left of {a car}")
    body, _ = asked(page, lambda: page.click("#read .word >> text=grass,"))
    assert body["query"] == "{a red dog} on {grass}, left of {a car}"


def test_and_and_without_are_chips_that_regions_join(page, names):
    search(page, "{a red dog}")
    page.click("#add-and")
    picture = page.locator("#hits .asks").first
    name = picture.get_attribute("data-name")
    picture.scroll_into_view_if_needed()
    page.mouse.click(*on_screen(picture, 0.4, 0.6))
    assert page.input_value("#joined .and input").startswith(f"[{name}@")
    page.click("#add-without")
    page.keyboard.type("{a car}")
    body, answer = asked(page, lambda: page.keyboard.press("Enter"))
    assert body["and"] == [page.input_value("#joined .and input")] and body["without"] == ["{a car}"]
    assert [one["is_excluded"] for one in answer["hits"][0]["queries"]] == [False, False, True]
    page.click("role=button[name='Remove this “without”']")
    body, _ = asked(page, lambda: page.press("#query", "Enter"))
    assert body["without"] == []


def test_what_a_sentence_excludes_is_a_chip(page):
    _, answer = search(page, "show me a red dog without a car")
    assert answer["read_as"] == ["{a red dog}"] and answer["unwanted"] == ["{a car}"]
    expect(page.locator("#read .words")).to_have_text(["a red dog", "without a car"])
    assert page.locator("#joined .chip").count() == 0
    page.click("#read .words >> nth=0")
    page.keyboard.type("a dog")
    body, answer = asked(page, lambda: page.keyboard.press("Enter"))
    assert (body["query"], body["without"], answer["unwanted"]) == ("{a dog}", ["{a car}"], [])
    expect(page.locator("#read .words")).to_have_text(["a dog"])
    assert page.input_value("#joined .without input") == "{a car}"


# --- regions ---------------------------------------------------------------------------------------------------------


def test_an_object_is_dragged_to_a_place_in_the_sentence(page):
    search(page, "a red dog left of a car")
    picture = page.locator("#hits .asks").nth(1)
    name = picture.get_attribute("data-name")
    picture.scroll_into_view_if_needed()
    page.mouse.move(*on_screen(picture, 0.51, 0.51))
    page.mouse.down()
    field = page.locator("#query").bounding_box()
    page.mouse.move(field["x"] + 15, field["y"] + field["height"] / 2, steps=5)
    expect(page.locator(".carried")).to_be_visible()
    page.mouse.up()
    region = f"[{name}@81,81]"
    assert page.input_value("#query") == f"{region} {{a red dog}} left of {{a car}}"
    expect(page.locator(".carried")).to_have_count(0)
    expect(page.locator("#read .chip")).to_have_count(3)
    expect(page.locator("#read .chip .crop")).to_have_count(1)
    page.mouse.move(*on_screen(picture, 0.51, 0.51))
    page.mouse.down()
    page.mouse.move(field["x"] + field["width"] - 5, field["y"] + field["height"] / 2, steps=5)
    page.mouse.up()
    assert page.input_value("#query") == f"{region} {{a red dog}} left of {{a car}} {region}"
    page.click(f"role=button[name='Remove the region of {name}'] >> nth=1")
    expect(page.locator("#read .crop")).to_have_count(1)


@pytest.mark.parametrize(("position", "expected"), [(0, "# {a red dog} on {grass}"), (3, "{a red dog} # on {grass}")])
def test_regions_keep_out_of_the_entities_of_a_sentence(page, position, expected):
    search(page, "a red dog on grass")
    expect(page.locator("#read .words")).to_have_text(["a red dog", "grass"])
    page.focus("#query")
    page.evaluate("place => document.activeElement.setSelectionRange(place, place)", position)
    picture = page.locator("#hits .asks").first
    picture.scroll_into_view_if_needed()
    page.mouse.click(*on_screen(picture, 0.51, 0.51))
    region = f"[{picture.get_attribute('data-name')}@81,81]"
    assert page.input_value("#query") == expected.replace("#", region)


def test_a_shared_address_shows_the_regions_of_its_query(page, address, names):
    page.goto(f"{address}/?q=%5B{names[0]}%4060,100%5D on %7Bgrass%7D")
    expect(page.locator(f"#asked [data-name='{names[0]}'] canvas")).to_have_count(1)
    expect(page.locator("#read .crop")).to_have_count(1)
    assert page.locator("#asked .mark").all_inner_texts() == ["1"]


# --- uploads ---------------------------------------------------------------------------------------------------------


def transfer(page, data, name, event):
    """Drops a file on the page, or pastes it."""
    page.evaluate(
        """([data, name, event]) => {
            const files = new DataTransfer();
            files.items.add(new File([Uint8Array.from(data)], name, { type: "image/jpeg" }));
            const told = { bubbles: true, cancelable: true };
            document.body.dispatchEvent(event === "paste" ? new ClipboardEvent(event, { ...told, clipboardData: files })
                : new DragEvent(event, { ...told, dataTransfer: files }));
        }""",
        [list(data), name, event],
    )


@pytest.mark.parametrize("event", ["drop", "paste"])
def test_pictures_are_dropped_and_pasted(page, photos, names, event):
    transfer(page, (photos / names[0]).read_bytes(), "mine.jpg", event)
    picture = page.wait_for_selector("#mine [data-name='mine']")
    with page.expect_response("**/interact"):
        page.mouse.click(*on_screen(picture, 0.51, 0.51))
    assert page.input_value("#query") == "[mine@81,81]"
    page.click("#to-segment")
    transfer(page, (photos / names[1]).read_bytes(), "other.jpg", event)
    expect(page.locator("#stage .picture")).to_have_attribute("data-name", "other")


def test_a_refused_sentence_stays_when_a_region_joins_it(page, photos, names):
    transfer(page, (photos / names[0]).read_bytes(), "mine.jpg", "drop")
    picture = page.wait_for_selector("#mine [data-name='mine']")
    page.fill("#query", "no dog")
    asked(page, lambda: page.press("#query", "Enter"))
    expect(page.locator("#said")).to_contain_text("only says what must not be there")
    page.press("#query", "End")
    with page.expect_response("**/interact"):
        page.mouse.click(*on_screen(picture, 0.51, 0.51))
    assert page.input_value("#query") == "no dog [mine@81,81]"
    page.wrong[:] = [text for text in page.wrong if "422" not in text]  # the browser logs it


def noise():
    """A file of 0.5 MB."""
    stream = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (400, 400, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def test_pictures_beyond_the_limits_are_refused_with_a_message(browser, album, serve, open_page, tmp_path):
    from find.serving.limits import Limits

    files = {"large.png": noise(), "text.png": b"no picture", "empty.png": b""}
    flat = io.BytesIO()
    Image.new("1", (2000, 1000)).save(flat, "PNG")  # 300 bytes that are 2 million pixels
    files["bomb.png"] = flat.getvalue()
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    limits = Limits(body_bytes=1 << 18, pixels=1_000_000)
    with serve(album, limits) as address, open_page(browser, address) as page:
        page.click("#to-segment")
        said = page.locator("#segment-said")
        for name in ("text.png", "empty.png"):
            page.set_input_files("#open", tmp_path / name)
            expect(said).to_have_text(f"{name}: this browser cannot show it as a picture; try JPEG or PNG")
        for name, told in (
            ("large.png", "the request is larger than 0.25 MiB"),
            ("bomb.png", "2000 x 1000 pixels; a request may have 1 million"),
        ):
            page.set_input_files("#open", tmp_path / name)
            picture = page.wait_for_selector(f"#stage [data-name='{name[:-4]}']")
            page.mouse.click(*on_screen(picture, 0.5, 0.5))
            expect(said).to_contain_text(told)
            expect(said).to_have_class("said error")
        page.click("#choices button >> nth=0")
        picture = page.wait_for_selector("#stage [data-name$='.jpg']")
        page.mouse.click(*on_screen(picture, 0.5, 0.5))
        page.wait_for_selector("#things li")
        page.wrong[:] = [text for text in page.wrong if "413" not in text]  # the browser logs it


# --- hits ------------------------------------------------------------------------------------------------------------


def test_hits_that_are_probably_wrong_say_so(page):
    _, answer = search(page, "{a red dog}")
    relevances = [one["relevance"] for one in answer["hits"]]
    assert 0 < sum(one < 0.5 for one in relevances) < len(relevances), "the case that some are doubtful"
    figures = page.locator("#hits figure")
    told = [figures.nth(number).locator(".cell > span").count() for number in range(len(relevances))]
    assert told == [int(one < 0.5) for one in relevances]
    doubtful = relevances.index(min(relevances))
    figures.nth(doubtful).locator("summary").first.click()
    present = answer["hits"][doubtful]["entities"][0]["present"]
    assert f"there with probability {present:.2f}" in figures.nth(doubtful).locator(".parts").inner_text()
    assert "probably in none" not in page.inner_text("#said")
    _, answer = search(page, "{an orange sofa} and {a purple elephant}")
    assert all(one["relevance"] < 0.5 for one in answer["hits"])
    expect(page.locator("#said")).to_contain_text("probably in none of them")


def test_near_duplicates_are_one_hit(browser, model, photos, names, serve, open_page, tmp_path):
    from find.retrieval.album import Album

    folder = tmp_path / "photos"
    folder.mkdir()
    for name in names[:3]:
        (folder / name).write_bytes((photos / name).read_bytes())
    Image.open(photos / names[0]).resize((140, 140)).save(folder / "small.jpg", quality=90)
    album = Album.build(model, folder, tmp_path / "copies.album", progress=False)
    with serve(album) as address, open_page(browser, address) as page:
        search(page, "{a dog}")
        expect(page.locator("#hits figure")).to_have_count(3)
        copies = page.locator("#hits summary", has_text="1 near-duplicate")
        expect(copies).to_have_count(1)
        copies.click()
        figure = page.locator("#hits figure", has=page.locator("text=1 near-duplicate"))
        assert {"small.jpg", names[0]} == {
            figure.locator(".open").inner_text().split(". ")[1],
            figure.locator("details > div").inner_text(),
        }


def test_a_search_needs_no_mouse(page):
    def outline():
        return page.evaluate("getComputedStyle(document.activeElement).outlineStyle")

    page.keyboard.type("a red dog")  # the page begins in the query
    asked(page, lambda: page.keyboard.press("Enter"))
    page.wait_for_selector("#hits .parts", state="attached")
    while not page.evaluate("document.activeElement.matches('#hits .open')"):
        page.keyboard.press("Tab")
        assert outline() == "solid", page.evaluate("document.activeElement.outerHTML")
    page.keyboard.press("ArrowRight")
    name = page.evaluate("document.activeElement.textContent")
    page.keyboard.press("Enter")
    expect(page.locator("#viewer")).to_be_visible()
    assert page.inner_text("#viewer-title") in name
    page.keyboard.press("Escape")
    expect(page.locator("#viewer")).to_be_hidden()
    assert page.evaluate("document.activeElement.textContent") == name and outline() == "solid"
