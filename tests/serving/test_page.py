"""Claims about the page's two modes, in a browser: typing, clicks, drags and strokes show what the model answers."""

import io
import json
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image, ImageDraw
from pycocotools import mask as coco_mask

sync_api = pytest.importorskip("playwright.sync_api", reason="tests of the page need: pip install playwright")
expect = sync_api.expect


def segment(page, name):
    page.click("#to-segment")
    page.click(f"#choices button:has-text('{name}')")
    return page.wait_for_selector("#stage img")


def at(picture, x, y):
    """The middle of a pixel of a picture of 160 x 160, on the screen."""
    picture.scroll_into_view_if_needed()
    box = picture.bounding_box()
    return box["x"] + (x + 0.5) / 160 * box["width"], box["y"] + (y + 0.5) / 160 * box["height"]


def drag(page, picture, *points):
    page.mouse.move(*at(picture, *points[0]))
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*at(picture, *point), steps=4)
    page.mouse.up()


def saved(page, button):
    with page.expect_download() as download:
        page.click(button)
    return download.value.path().read_bytes()


def saved_mask(page):
    page.wait_for_selector("#things button")
    return np.asarray(Image.open(io.BytesIO(saved(page, "#things button"))).convert("L")) > 0


def asked(page, path, action):
    """What the page sends when something is done, and what is answered."""
    with page.expect_response(f"**/{path}") as answer:
        action()
    return answer.value.request.post_data_json, answer.value.json()


# --- segment ---------------------------------------------------------------------------------------------------------


def test_clicks_and_boxes_give_the_model_s_masks_as_png(page, model, photos, names):
    picture = segment(page, names[0])
    page.mouse.click(*at(picture, 60, 100))
    page.wait_for_selector("#things li")
    assert "score" in page.inner_text("#things")
    assert np.array_equal(saved_mask(page), model.interact(photos / names[0], (60, 100)).mask)
    body, _ = asked(page, "interact", lambda: page.mouse.click(*at(picture, 10, 10), button="right"))
    assert body["negatives"] == [[10, 10]]
    page.click("#clear")
    body, _ = asked(page, "interact", lambda: drag(page, picture, (20, 30), (89, 119)))
    assert body["box"] == [20, 30, 90, 120]
    page.wait_for_selector("#stage canvas")
    assert np.array_equal(saved_mask(page), model.interact(photos / names[0], (20, 30, 90, 120)).mask)


def test_scribbles_and_lassos_are_sent_as_they_are_drawn(page, names):
    picture = segment(page, names[0])
    page.check("text=Scribble")
    body, _ = asked(page, "interact", lambda: drag(page, picture, (40, 90), (60, 100), (72, 104)))
    (line,) = body["scribbles"]
    assert line[0] == [40, 90] and line[-1] == [72, 104] and [60, 100] in line
    page.click("#negative")
    body, _ = asked(page, "interact", lambda: drag(page, picture, (100, 20), (120, 20)))
    assert body["scribbles"] == [line] and body["negative_scribbles"][0][0] == [100, 20]
    page.click("#clear")
    page.click("#negative")
    page.check("text=Lasso")
    body, _ = asked(page, "interact", lambda: drag(page, picture, (40, 80), (90, 85), (70, 120)))
    (outline,) = body["lassos"]
    assert outline[0] == [40, 80] and outline[-1] == [70, 120]
    expect(page.locator("#stage svg polygon.over")).to_have_count(1)
    page.click("#undo")
    expect(page.locator("#stage svg")).to_have_count(0)


def test_words_and_uploads_are_segmented_and_a_picture_is_sent_once(page, model, photos, names):
    sent = []
    page.on("request", lambda request: sent.append(request) if request.method == "POST" else None)
    page.click("#to-segment")
    page.set_input_files("#open", photos / names[1])
    picture = page.wait_for_selector("#stage img")
    page.fill("#phrase", "a dog")
    page.press("#phrase", "Enter")
    page.wait_for_selector("#things li")
    (found,) = model.segment(photos / names[1], "{a dog}")
    assert f"score {found.score:.2f}, present with probability {found.present:.2f}" in page.inner_text("#things")
    assert np.array_equal(saved_mask(page), found.mask)
    for x in (60, 70):
        asked(page, "interact", lambda x=x: page.mouse.click(*at(picture, x, 100)))
    assert [request.url.rpartition("/")[2] for request in sent] == ["pictures", "segment", "interact", "interact"]
    assert len(sent[0].post_data) > 2000 and all(len(request.post_data) < 400 for request in sent[1:])


def test_an_upload_that_the_service_has_forgotten_is_sent_again(page, service, photos, names):
    page.click("#to-segment")
    page.set_input_files("#open", photos / names[1])
    picture = page.wait_for_selector("#stage img")
    asked(page, "interact", lambda: page.mouse.click(*at(picture, 60, 100)))
    page.wait_for_selector("#things button")
    service.kept._kept.clear()
    page.mouse.click(*at(picture, 70, 100))
    page.wait_for_selector("#stage .mark >> nth=1")
    page.wait_for_selector("#things button")
    assert len(service.kept) == 1
    page.wrong[:] = [text for text in page.wrong if "410" not in text]  # the browser logs it


def test_all_like_a_selected_object_are_those_of_the_model(page, model, photos, names):
    picture = segment(page, names[0])
    page.mouse.click(*at(picture, 60, 100))
    page.fill("#phrase", "something else")
    page.click("#everything summary")
    page.fill("#threshold", "0.1")
    body, answer = asked(page, "find-all", lambda: page.click("text=Find all like this"))
    assert body["query"] == f"[{names[0]}@60,100]" == page.input_value("#phrase")
    from find.query.entity import Region

    expected = model.find_all(photos / names[0], Region(photos / names[0], points=(60, 100)), threshold=0.1)
    assert len(answer["instances"]) == len(expected) >= 1
    expect(page.locator("#things li")).to_have_count(len(expected))
    assert np.array_equal(saved_mask(page), expected[0].mask)


def test_an_object_of_one_picture_is_sought_in_another(page, model, photos, names):
    from find.query.entity import Region
    from find.query.query import Query

    picture = segment(page, names[0])
    page.check("text=Lasso")
    _, selected = asked(page, "interact", lambda: drag(page, picture, (40, 80), (90, 85), (70, 120)))
    page.click("text=Use in the query")
    assert page.input_value("#phrase") == f"[{names[0]}#selection-1]"
    page.check("text=Points, box")
    segment(page, names[1])
    page.press("#phrase", "End")
    page.keyboard.type(" on {grass}")
    body, answer = asked(page, "segment", lambda: page.press("#phrase", "Enter"))
    assert body["query"] == f"[{names[0]}#selection-1] on {{grass}}" and body["name"] == names[1]
    mask = coco_mask.decode(selected["segmentation"]).astype(bool)
    query = Query(Region(photos / names[0], mask=mask), " on ", Query.parse("{grass}").entities[0])
    expected = model.segment(photos / names[1], query)
    found = [coco_mask.decode(one["segmentation"]).astype(bool) for one in answer["entities"]]
    assert np.array_equal(found, [one.mask for one in expected])


def test_everything_is_segmented_by_class_names(page, model, photos, names):
    segment(page, names[0])
    page.click("#everything summary")
    page.fill("#classes", "dog, grass, sky")
    page.click("#divide")
    expected = model.panoptic(photos / names[0], ["dog", "grass", "sky"])
    expect(page.locator("#things li")).to_have_count(len(expected.segments))
    assert "".join(one.name for one in expected.segments) == "".join(
        text.partition(":")[0] for text in page.locator("#things li span").all_inner_texts()
    )


def test_coco_json_and_svg_hold_the_masks_exactly(page, model, photos, names):
    segment(page, names[0])
    page.fill("#phrase", "{a dog} on {grass}")
    page.press("#phrase", "Enter")
    page.wait_for_selector("#things button")
    expected = [one.mask for one in model.segment(photos / names[0], "{a dog} on {grass}") if one.mask.any()]
    coco = json.loads(saved(page, "#save-coco"))
    rows = coco["annotations"]
    assert coco["images"] == [{"id": 1, "file_name": names[0], "width": 160, "height": 160}]
    assert np.array_equal([coco_mask.decode(row["segmentation"]).astype(bool) for row in rows], expected)
    assert [row["area"] for row in rows] == [mask.sum() for mask in expected]
    assert [row["bbox"] for row in rows] == [list(coco_mask.toBbox(row["segmentation"])) for row in rows]
    assert [one["id"] for one in coco["categories"]] == sorted({row["category_id"] for row in rows})
    drawing = ElementTree.fromstring(saved(page, "#save-svg"))
    assert drawing.get("viewBox") == "0 0 160 160"
    shapes = drawing.findall("{*}path")
    assert [shape.findtext("{*}title") for shape in shapes] == ["a dog", "grass"]
    paths = [shape.get("d") for shape in shapes]
    for path, mask in zip(paths, expected, strict=True):
        assert np.array_equal(_filled(path, 160), mask)


def _filled(path: str, side: int) -> np.ndarray:
    """The pixels whose middle is inside of a path by the rule of even and odd, drawn 8 times as large."""
    inside = np.zeros((side, side), bool)
    for loop in path.split("M")[1:]:
        points = [tuple(8 * int(number) for number in corner.split()) for corner in loop.rstrip("Z").split("L")]
        canvas = Image.new("1", (8 * side, 8 * side))
        ImageDraw.Draw(canvas).polygon(points, fill=1)
        inside ^= np.asarray(canvas)[4::8, 4::8]
    return inside


# --- search ----------------------------------------------------------------------------------------------------------


def test_pointing_joins_the_query_and_shows_what_was_taken(page, names):
    picture = page.query_selector("#hits .picture")
    name = picture.get_attribute("data-name")
    page.mouse.click(*at(picture, 60, 100))
    page.wait_for_selector("#hits canvas")
    picture = page.query_selector(f"#hits .picture[data-name='{name}']")
    drag(page, picture, (20, 30), (89, 119))
    assert page.input_value("#query") == f"[{name}@60,100] [{name}@20,30,90,120]"
    expect(page.locator("#hits canvas")).to_have_count(2)
    canvas = page.query_selector("#hits canvas")
    page.type("#query", " on grass")
    assert canvas.evaluate("one => one.isConnected"), "typing painted the masks anew"
    page.press("#query", "Enter")
    expect(page.locator("#said")).to_contain_text("images in")
    assert page.locator(f"#hits .picture[data-name='{name}']").count() == 0, "the query's own picture is a hit"


def test_plain_words_tell_their_things_and_nothing_found_is_told(page):
    page.fill("#query", "a red dog left of a car")
    page.press("#query", "Enter")
    page.wait_for_selector("#read .chip")
    assert page.locator("#read .words").all_inner_texts() == ["a red dog", "a car"]
    page.click("#more summary")
    page.fill("#relevance", "1")
    page.press("#query", "Enter")
    expect(page.locator("#none")).to_contain_text("No image has a relevance of 1 or more.")
    assert "nothing found" in page.inner_text("#said") and page.locator("#hits figure").count() == 0
    page.click("text=Show the nearest")
    expect(page.locator("#none")).to_be_hidden()
    expect(page.locator("#hits figure")).not_to_have_count(0)
    assert "relevance" not in page.url


def test_hits_show_lines_for_pairs_and_the_parts_of_their_score(page):
    page.fill("#query", "{a red dog} left of {a car}")
    _, answer = asked(page, "search", lambda: page.press("#query", "Enter"))
    hit = answer["hits"][0]
    figure = page.locator("#hits figure").first
    expect(figure.locator(".pair-label")).to_have_text(f"left of {hit['connections'][0]['fit']:.2f}")
    assert not figure.locator(".parts").is_visible()
    figure.locator("summary").click()
    reported = figure.locator(".parts").inner_text()
    assert f"a red dog {hit['entities'][0]['term']:.3f}" in reported and f"sentence {hit['image_term']:.3f}" in reported


def test_joined_queries_and_filters_are_sent_and_shared_by_the_address(page, browser, names):
    page.fill("#query", "{a dog}")
    page.click("#add-without")
    page.keyboard.type("{a car}")
    page.click("#more summary")
    page.fill("#path", "O'Hara")
    page.fill("#from", "2024-05-01")
    body, _ = asked(page, "search", lambda: page.press("#query", "Enter"))
    assert body["without"] == ["{a car}"]
    assert body["where"] == "contains(lower(path), 'o''hara') AND time >= timestamp '2024-05-01 00:00:00'"
    expect(page.locator("#none")).to_contain_text("No image fits the filters")
    page.fill("#from", "")
    page.fill("#path", names[2].upper())
    page.press("#query", "Enter")
    expect(page.locator("#hits figure")).to_have_count(1)
    other = browser.new_page()
    other.goto(page.url)
    expect(other.locator("#hits figure")).to_have_count(1)
    assert other.input_value("#query") == "{a dog}" and other.input_value("#joined input") == "{a car}"
    other.close()
    page.go_back()
    expect(page.locator("#none")).to_contain_text("No image fits the filters")
    assert page.input_value("#from") == "2024-05-01"
    page.go_back()
    expect(page.locator("#said")).to_contain_text("in the album")


def test_segmenting_is_shared_by_the_address(page, names):
    picture = segment(page, names[0])
    page.mouse.click(*at(picture, 60, 100))
    page.wait_for_selector("#things button")
    page.check("text=Lasso")
    drag(page, picture, (40, 80), (90, 85), (70, 120))
    page.wait_for_selector("#things .actions")
    expected = saved_mask(page)
    page.reload()
    page.wait_for_selector("#things button")
    assert page.locator("#stage .mark").count() == 1 and page.locator("#stage polygon.over").count() == 1
    assert np.array_equal(saved_mask(page), expected)
    page.go_back()
    expect(page.locator("#stage polygon.over")).to_have_count(0)
    expect(page.locator("#stage .mark")).to_have_count(1)
