"""Claims about the extras: the base alone embeds and segments, and everything else names the extra that it needs."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
OPTIONAL = [
    *("lightning", "pytorch_lightning", "jsonargparse", "matplotlib", "tensorboard", "wandb"),
    *("scipy", "faster_coco_eval", "jinja2", "mteb"),
    *("lancedb", "lance", "pyarrow", "pandas", "ray", "qdrant_client"),
    *("fastapi", "fastapi_offline", "uvicorn", "prometheus_client", "starlette"),
    *("av", "pillow_heif", "textual_image", "supervision", "cv2", "onnx", "onnxscript", "onnxruntime"),
]
"""Import names of what the extras install, but for filelock, which Hugging Face's hub needs as well."""

BASE_ALONE = """
import contextlib, importlib.machinery, io, json, sys

OPTIONAL, photo, album, out = json.loads(sys.argv[1])
find_spec = importlib.machinery.PathFinder.find_spec
importlib.machinery.PathFinder.find_spec = staticmethod(
    lambda name, path=None, target=None: None if name.split(".")[0] in OPTIONAL else find_spec(name, path, target)
)

import find
from find.cli.main import main
from find import FIND, Encoder, Phrase, Query, Region

model = FIND.from_pretrained("find-tiny")
query = Query(Phrase("a red dog"), " left of ", Region(photo, points=(20, 20)))
mask = model.segment(photo, query)[0].mask
found = {
    "image": list(model.embed_images(photo).image.shape),
    "query": list(model.embed_queries(query).query.shape),
    "texts": list(model.embed_texts(["a red dog"]).shape),
    "mask": list(mask.shape),
    "grounded": list(model.ground(photo, ["a red dog"])[0].mask.shape),
    "panoptic": list(model.panoptic(photo, ["dog"]).segment_map.shape),
    "interact": list(model.interact(photo, [(20, 20)])[0].mask.shape),
    "encoded": list(Encoder(model).encode(["a red dog", query]).shape),
    "region": Region(photo, mask=mask | True).to_json()["mask"]["size"],
}

def command(*arguments):
    told = io.StringIO()
    with contextlib.redirect_stderr(told), contextlib.redirect_stdout(io.StringIO()):
        try:
            status = main(arguments)
        except SystemExit as exit:
            status = exit.code
    return status, told.getvalue()

found["segment"] = command("segment", photo, "{a red dog}", "--json", out + "/found.json", "--png", out + "/found.png")
found["folder"] = command("segment", out, "{a red dog}", "--json", out + "/masks")
found["world"] = command("data", "world", out + "/world", "--images", "2", "--val-images", "2", "--workers", "1")
found["check"] = command("data", "check", out + "/world")
found["commands"] = {
    words: command(*words.format(album=album, out=out, photo=photo).split())[1] for words in json.load(sys.stdin)
}
for name in ("Album", "evaluate"):
    try:
        getattr(find, name)
    except find.FindError as error:
        found[name] = str(error)
print(json.dumps(found))
"""

NEEDED = {
    "index {out} {out}/new.album": "album",
    "search {album} dog": "album",
    "more-like {album} {photo}": "album",
    "duplicates {album}": "album",
    "map {album} {out}/map.html": "album",
    "shell {album}": "album",
    "serve {album}": "serve",
    "demo {out}": "serve",
    "fit -c tiny --data.root {out}": "train",
    "test -c tiny --data.root {out}": "train",
    "bench run --model find-tiny --root {out} --out {out}/run": "evaluate",
    "bench score {out} --gt {out} --out -": "evaluate",
    "bench report {out} --out {out}/page.html": "evaluate",
    "export model find-tiny {out}/onnx": "onnx",
    "export qdrant {album} http://localhost:6333": "qdrant",
}


@pytest.fixture(scope="module")
def base_alone(tmp_path_factory):
    """What a process says that cannot import any optional package."""
    out = tmp_path_factory.mktemp("base")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)).save(out / "photo.png")
    versions = out / "an.album" / "images.lance" / "_versions"
    versions.mkdir(parents=True)
    (versions / "1.manifest").touch()
    arguments = json.dumps([OPTIONAL, str(out / "photo.png"), str(out / "an.album"), str(out)])
    done = subprocess.run(
        [sys.executable, "-c", BASE_ALONE, arguments], input=json.dumps(list(NEEDED)), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_base_alone_embeds_and_segments(base_alone):
    assert base_alone["image"][0] == base_alone["texts"][0] == 1 and base_alone["encoded"][0] == 2
    for name in ("mask", "grounded", "panoptic", "interact", "region"):
        assert base_alone[name] == [48, 64], name
    assert [base_alone["segment"][0], base_alone["folder"][0]] == [0, 0]


def test_the_base_alone_makes_and_checks_data(base_alone):
    assert [base_alone["world"][0], base_alone["check"][0]] == [0, 0]


@pytest.mark.parametrize("command", NEEDED)
def test_a_command_names_the_extra_that_it_needs_in_one_line(base_alone, command):
    (line,) = base_alone["commands"][command].splitlines()
    assert re.fullmatch(
        rf"error: .+ needs \w+, which is not installed; .* pip install 'findvl\[{NEEDED[command]}\]'", line
    )


def test_public_names_name_the_extra_that_they_need(base_alone):
    assert base_alone["Album"].startswith("find.Album needs ") and "'findvl[album]'" in base_alone["Album"]
    assert base_alone["evaluate"].startswith("find.evaluate needs ") and "'findvl[evaluate]'" in base_alone["evaluate"]


def test_messages_name_extras_that_exist():
    tomllib = pytest.importorskip("tomllib", reason="needs Python 3.11")
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    named = set()
    for file in (ROOT / "find").rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        named |= {name for names in re.findall(r"\bextra\(\"([\w,-]+)\"", text) for name in names.split(",")}
        named |= {name for names in re.findall(r"findvl\[([\w,-]+)\]", text) for name in names.split(",")}
    assert len(named) > 8 and named <= declared.keys()


def test_the_base_installs_what_reads_xmp_of_photos():
    tomllib = pytest.importorskip("tomllib", reason="needs Python 3.11")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert any(re.match(r"defusedxml\b", needed) for needed in project["dependencies"])
