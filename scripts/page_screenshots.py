"""Makes the page's pictures in docs/ anew, of drawn scenes: python scripts/page_screenshots.py [OUT]

Needs findvl[serve], playwright and Debian's package chromium.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlencode

from playwright.sync_api import Browser, ElementHandle, Page, sync_playwright

from find.world import generate_world

SCENES, SEED = 60, 11
SIZE = {"width": 1000, "height": 900}
TALL = {"width": 1000, "height": 1180}
WITHOUT_TIMES = """document.querySelectorAll(".said").forEach(said =>
    said.textContent = said.textContent.replace(/(;| in) \\d+ ms/, ""))"""  # they are those of this machine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, nargs="?", default=Path("docs"), help="folder (default: %(default)s)")
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        world = generate_world(Path(folder) / "world", images=1, val_images=SCENES, seed=SEED)
        command = [sys.executable, "-m", "find.cli", "demo", str(world / "val2017"), "--folder", folder, "--port", "0"]
        server = subprocess.Popen([*command, "--no-browser"], stdout=subprocess.PIPE, text=True)
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        try:
            address = next(line for line in server.stdout if " at http" in line).split(" at ")[1].split()[0]
            show_search(browser, address, sentence_of(world), out / "page-search.jpg")
            show_strokes(browser, address, out / "page-segment.jpg")
            show_everything(browser, address, out / "page-everything.jpg")
        finally:
            browser.close()
            server.terminate()
            server.wait()


def sentence_of(world: Path) -> str:
    """The shortest sentence about a scene that tells a place."""
    captions = json.loads((world / "annotations" / "captions_val2017.json").read_text(encoding="utf-8"))
    return min((one["caption"] for one in captions["annotations"] if " left of " in one["caption"]), key=len)


def show_search(browser: Browser, address: str, query: str, file: Path) -> None:
    page = browser.new_page(viewport=SIZE)
    page.goto(f"{address}/?{urlencode({'q': query})}")
    page.wait_for_selector("#hits .pair-label")
    page.locator("#hits summary").first.click()
    save(page, file)


def show_strokes(browser: Browser, address: str, file: Path) -> None:
    """A lasso around the first thing that is found, in the dark."""
    page = browser.new_page(viewport=TALL, color_scheme="dark")
    picture, box = open_thing(page, address, "{a dog}")
    page.check("text=Lasso")
    (x0, y0, x1, y1), (width, height) = box, ((box[2] - box[0]) / 5, (box[3] - box[1]) / 5)
    corners = [(x0 + width, y0), (x1 - width, y0), (x1, y0 + height), (x1, y1 - height), (x1 - width, y1)]
    corners += [(x0 + width, y1), (x0, y1 - height), (x0, y0 + height)]
    place = picture.bounding_box()
    on_screen = [(place["x"] + x / 160 * place["width"], place["y"] + y / 160 * place["height"]) for x, y in corners]
    page.mouse.move(*on_screen[0])
    page.mouse.down()
    for point in on_screen[1:]:
        page.mouse.move(*point, steps=5)
    page.mouse.up()
    page.wait_for_selector("#things .actions")
    save(page, file)


def show_everything(browser: Browser, address: str, file: Path) -> None:
    page = browser.new_page(viewport=TALL)
    open_thing(page, address, "{a car}")
    page.click("#everything summary")
    page.fill(
        "#classes", "car, dog, person, vase, ball, grass, sky, road, sea, sand, snow, mountain, wall, floor, fence"
    )
    page.click("#divide")
    page.wait_for_selector("#things li")
    save(page, file)


def open_thing(page: Page, address: str, query: str) -> tuple[ElementHandle, list[int]]:
    """The picture in which something is found best, to be segmented, and the box of what was found."""
    page.goto(address)
    page.fill("#query", query)
    with page.expect_response("**/search") as answer:
        page.press("#query", "Enter")
    hit = answer.value.json()["hits"][0]
    page.goto(f"{address}/?mode=segment&picture={hit['name']}")
    page.wait_for_selector("#stage img")
    return page.query_selector("#stage .picture"), hit["entities"][0]["box"]


def save(page: Page, file: Path) -> None:
    page.wait_for_load_state("networkidle")
    page.mouse.move(0, 0)
    page.evaluate(WITHOUT_TIMES)
    page.evaluate("scrollTo(0, 0)")
    page.screenshot(path=file, type="jpeg", quality=80)
    print(f"{file}: {file.stat().st_size >> 10} KB")


if __name__ == "__main__":
    main()
