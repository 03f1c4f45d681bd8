"""Claims about examples/space, the same in Gradio: it starts, and answers clicks, words and searches in a browser.

Needs gradio, best in an environment of its own, since it limits versions of Pillow:
pip install -r examples/space/requirements.txt
"""

import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("gradio", reason="the test of examples/space needs: pip install gradio")
sync_api = pytest.importorskip("playwright.sync_api", reason="tests of the page need: pip install playwright")
expect = sync_api.expect
ROOT = Path(__file__).parents[2]
SPACE = ROOT / "examples" / "space"
SECONDS = 120_000


@pytest.fixture(scope="module")
def space(photos):
    """The address of the app over a few photographs, in a process of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {
        "FIND_PHOTOS": str(photos),
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_ANALYTICS_ENABLED": "False",
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }
    process = subprocess.Popen([sys.executable, "app.py"], cwd=SPACE, env=os.environ | settings)
    end = time.monotonic() + SECONDS / 1000
    while process.poll() is None and time.monotonic() < end:
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.2)
    assert process.poll() is None, "the app ended"
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait()


def test_clicks_words_and_searches_are_answered(browser, space):
    page = browser.new_page(viewport={"width": 1200, "height": 1100})
    page.set_default_timeout(SECONDS)
    page.goto(space)
    image = page.wait_for_selector("#picture img")
    box = image.bounding_box()
    page.mouse.click(box["x"] + 0.4 * box["width"], box["y"] + 0.6 * box["height"])
    expect(page.locator("#found")).to_contain_text(re.compile(r"selected 0\.\d\d"), timeout=SECONDS)
    page.click("label:has-text('not it')")
    page.mouse.click(box["x"] + 0.1 * box["width"], box["y"] + 0.1 * box["height"])
    expect(page.locator("#found")).to_contain_text(re.compile(r"selected 0\.\d\d"), timeout=SECONDS)
    page.click("#alike")
    expect(page.locator("#found")).not_to_contain_text("selected", timeout=SECONDS)
    page.fill("#words textarea, #words input", "left of")
    page.press("#words textarea, #words input", "Enter")
    expect(page.locator("body")).to_contain_text("No thing was found", timeout=SECONDS)
    page.fill("#words textarea, #words input", "{the sky} above {the grass}")
    page.press("#words textarea, #words input", "Enter")
    expect(page.locator("#found")).to_contain_text(re.compile(r"the (sky|grass) \d\.\d\d"), timeout=SECONDS)
    page.fill("#classes textarea, #classes input", "wall, floor, sky, grass")
    page.press("#classes textarea, #classes input", "Enter")
    expect(page.locator("#found")).not_to_contain_text("the grass", timeout=SECONDS)
    expect(page.locator("#found")).to_contain_text(re.compile(r"(wall|floor) \d\.\d\d"), timeout=SECONDS)
    page.click("role=tab[name='Search']")
    page.fill("#query textarea, #query input", "a dog [")
    page.press("#query textarea, #query input", "Enter")
    expect(page.locator("body")).to_contain_text("never closed", timeout=SECONDS)
    page.fill("#query textarea, #query input", "{a dog} like [/etc/private.png@1,1]")
    page.press("#query textarea, #query input", "Enter")
    expect(page.locator("body")).to_contain_text("Regions are not accepted in text", timeout=SECONDS)
    page.fill("#query textarea, #query input", "a dog")
    page.press("#query textarea, #query input", "Enter")
    expect(page.locator("#hits img").first).to_be_visible(timeout=SECONDS)
    page.close()


def test_the_front_matter_names_the_app():
    import yaml

    expected = yaml.safe_load((SPACE / "README.md").read_text(encoding="utf-8").split("---")[1])
    assert (
        expected["sdk"] == "gradio"
        and (SPACE / expected["app_file"]).is_file()
        and len(expected["short_description"]) <= 60
    )
    assert len((SPACE / "app.py").read_text(encoding="utf-8").splitlines()) <= 100
