"""The README's JavaScript, run by onnxruntime-web in headless Chromium on a folder that was exported."""

import json
import re
import shutil
import subprocess
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

PAGE = """<!doctype html>
<script type="importmap">{"imports": {"onnxruntime-web": "/ort/ort.wasm.min.mjs"}}</script>
<script type="module">
const tell = result => fetch("/told", {method: "POST", body: JSON.stringify(result)});
try {
%s
  await tell({dims: found.objects.dims, image: [...found.image.data], boxes: [...found.boxes.data]});
} catch (error) { await tell({error: String(error)}); }
</script>"""


@pytest.fixture(scope="module")
def ort(tmp_path_factory) -> Path:
    """onnxruntime-web's files."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("no npm, which fetches onnxruntime-web")
    home = tmp_path_factory.mktemp("npm")
    done = subprocess.run(
        [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "onnxruntime-web@1.22"],
        cwd=home,
        capture_output=True,
        text=True,
        timeout=300,
    )
    if done.returncode:
        pytest.skip(f"onnxruntime-web could not be fetched: {done.stderr.strip().splitlines()[-1:]}")
    return home / "node_modules" / "onnxruntime-web" / "dist"


@pytest.fixture(scope="module")
def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no Chromium")
    return found


@pytest.mark.slow
def test_the_readmes_javascript_embeds_a_photograph(folder, images, ort, chromium, exported, tmp_path):
    example = re.search(r"```js\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL).group(1)
    imports, body = example.split("\n", 1)
    root = tmp_path / "root"
    shutil.copytree(folder, root)
    shutil.copytree(ort, root / "ort")
    Image.fromarray(images[2]).save(root / "photo.jpg", quality=95)
    page = PAGE.replace("const tell", imports + "\nconst tell") % body
    (root / "index.html").write_text(page)
    expected = serve_until_told(root, chromium, tmp_path / "profile")
    assert "error" not in expected, expected
    own = exported.embed_images([np.array(Image.open(root / "photo.jpg"))])
    assert expected["dims"] == [1, 6, 24]
    torch.testing.assert_close(torch.tensor(expected["image"], dtype=torch.float32), own.image[0], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(
        torch.tensor(expected["boxes"], dtype=torch.float32), own.boxes[0].flatten(), rtol=1e-2, atol=1e-2
    )


def serve_until_told(root: Path, chromium: str, profile: Path, seconds: float = 120) -> dict:
    """What the page at root posts to /told."""
    answer: dict = {}
    done = threading.Event()

    class Handler(SimpleHTTPRequestHandler):
        extensions_map = SimpleHTTPRequestHandler.extensions_map | {
            ".mjs": "text/javascript",
            ".wasm": "application/wasm",
        }

        def __init__(self, *arguments) -> None:
            super().__init__(*arguments, directory=str(root))

        def do_POST(self) -> None:
            answer.update(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()
            done.set()

        def log_message(self, *arguments) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/index.html"
    quiet = ["--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update"]
    command = [
        chromium,
        "--headless",
        "--no-sandbox",
        *quiet,
        f"--user-data-dir={profile}",
        "--remote-debugging-port=0",
    ]
    browser = subprocess.Popen([*command, address], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert done.wait(seconds), "the page told nothing"
        return answer
    finally:
        browser.kill()
        browser.wait()
        server.shutdown()
