"""The real download code of every library against a hub on this machine: what is fetched, recorded and told."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import open_clip
import pytest
import timm
import torch
from hub_server import TOKEN, Hub, serve_hub
from safetensors.torch import save_file
from text_models import write_text_model
from timm.models import save_for_hf
from transformers import ConvNextConfig, ConvNextModel

from find.foundations.tiny import FOLDER
from find.model.config import FINDConfig, InterfaceConfig
from find.model.model import FIND

HERE = Path(__file__).resolve().parent
STAGES = {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1]}
STATISTICS = {"image_processor_type": "ConvNextImageProcessor", "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
SMALL = InterfaceConfig(
    width=16, heads=2, feedforward=16, layers=1, queries=4, semantic_width=16, mask_width=8, decoder_width=32,
    decoder_layers=1, region_points=4,
)  # fmt: skip


@dataclass
class Published:
    """A hub with models, and the commits of what it holds."""

    hub: Hub
    home: Path  # of downloads
    commits: dict[str, str]

    def load(self, *wanted: tuple[str, ...], **environment: str) -> list[dict[str, str]]:
        """What `hub_driver` says of each (kind, spec, token), the token of whom asks being optional."""
        known = {"HF_ENDPOINT": self.hub.url, "HF_HOME": str(self.home), "HF_HUB_DISABLE_TELEMETRY": "1"}
        own = ("HF_", "HUGGING", "TRANSFORMERS_")
        variables = {name: value for name, value in os.environ.items() if not name.startswith(own)}
        variables |= known | {"no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1", "OMP_NUM_THREADS": "1"} | environment
        command = [sys.executable, str(HERE / "hub_driver.py"), json.dumps(wanted)]
        result = subprocess.run(
            command, env=variables, cwd=HERE.parents[1], capture_output=True, text=True, timeout=900
        )
        said = [json.loads(line[7:]) for line in result.stdout.splitlines() if line.startswith("RESULT ")]
        assert len(said) == len(wanted), result.stderr[-3000:]
        assert not [one["traceback"] for one in said if "traceback" in one]
        return said


def write_convnext(folder: Path, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    ConvNextModel(ConvNextConfig(**STAGES)).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(STATISTICS))
    return folder


def write_open_clip(folder: Path) -> Path:
    """The tiny pair's config around a small tower, with random weights."""
    folder.mkdir()
    config = json.loads((FOLDER / "open_clip_config.json").read_text(encoding="utf-8"))
    tower = {"timm_model_name": "test_convnext", "timm_pool": "", "timm_proj": "linear", "image_size": 96}
    config["model_cfg"]["vision_cfg"] = tower
    (folder / "open_clip_config.json").write_text(json.dumps(config), encoding="utf-8")
    for file in FOLDER.glob("token*"):
        shutil.copy(file, folder)
    torch.manual_seed(3)
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    save_file(model.state_dict(), folder / "open_clip_model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Every library's small model, two commits of one, a gated one, and a FIND on top of two of them."""
    root = tmp_path_factory.mktemp("hub")
    with serve_hub() as hub:
        commits = {
            "convnext": hub.publish("user/convnext", write_convnext(root / "first", seed=1), "v1"),
            "newer": hub.publish("user/convnext", write_convnext(root / "second", seed=2), "main"),
            "qwen3": hub.publish("user/qwen3", write_text_model("qwen3", root / "texts")),
            "clip": hub.publish("user/clip", write_open_clip(root / "clip")),
            "gated": hub.publish("user/gated", root / "first", gated=True),
        }
        torch.manual_seed(4)
        save_for_hf(
            timm.create_model("test_resnet", num_classes=3), str(root / "timm"), model_config={"num_classes": 3}
        )
        commits["timm"] = hub.publish("user/timm", root / "timm")
        (root / "empty").mkdir()
        (root / "empty" / "README.md").write_text("no model")
        hub.publish("user/empty", root / "empty")
        commits["find"] = hub.publish("user/find", write_find(root, commits), "main", "v1")
        yield Published(hub, root / "home", commits)


def write_find(root: Path, commits: dict[str, str]) -> Path:
    """A FIND with random weights whose foundations are the hub's."""
    sides = {"shortest_side": 64, "longest_side": 64}
    specs = f"transformers:{root / 'first'}", f"transformers:{root / 'texts' / 'qwen3'}#2"
    torch.manual_seed(0)
    FIND.build(FINDConfig(*specs, interface=SMALL, **sides)).save_pretrained(root / "find")
    about = json.loads((root / "find" / "config.json").read_text())
    about["vision"] = f"transformers:user/convnext@{commits['convnext']}"
    about["language"] = f"transformers:user/qwen3@{commits['qwen3']}#2"
    (root / "find" / "config.json").write_text(json.dumps(about))
    return root / "find"


LOADED = {
    "transformers": ("vision", "transformers:user/convnext"),
    "older": ("vision", "transformers:user/convnext@v1"),
    "language": ("language", "transformers:user/qwen3#2"),
    "timm": ("vision", "timm:user/timm"),
    "open_clip": ("vision", "open_clip:hf-hub:user/clip"),
    "open_clip text": ("language", "open_clip:hf-hub:user/clip#1"),
    "model": ("model", "user/find"),
    "tagged model": ("model", "user/find@v1"),
}
REFUSED = {
    "gated": [
        ("vision", "transformers:user/gated"),
        ("vision", "transformers:user/gated", "hf_of_somebody_else"),
        ("vision", "timm:user/gated"),
        ("vision", "open_clip:hf-hub:user/gated"),
    ],
    "missing": [
        ("vision", "transformers:user/nothing"),
        ("vision", "timm:user/nothing"),
        ("language", "open_clip:hf-hub:user/nothing"),
        ("model", "user/nothing"),
    ],
    "revision": [
        ("vision", "transformers:user/convnext@v7"),
        ("vision", "timm:user/timm@v7"),
        ("vision", "open_clip:hf-hub:user/clip@v7"),
        ("model", "user/find@v7"),
    ],
    "empty": [("language", "transformers:user/empty"), ("vision", "timm:user/empty")],
    "another library's": [("vision", "open_clip:hf-hub:user/empty"), ("model", "user/empty")],
}
ADVICE = {
    "gated": "user/gated is gated: accept its licence at https://huggingface.co/user/gated, then `hf auth login`",
    "missing": "there is no https://huggingface.co/user/nothing that you may see: check the name",
    "revision": "has no revision 'v7': see https://huggingface.co/user/",
    "empty": "user/empty has no such file; is it a model of this library?",
    "another library's": "config.json in https://huggingface.co/user/empty/tree/main",
}


@pytest.fixture(scope="module")
def said(published) -> dict[str, list[dict[str, str]]]:
    """What became of all of them, by the names above; one process, since each takes long to start."""
    groups = {name: [wanted] for name, wanted in LOADED.items()} | REFUSED
    groups["opened"] = [("vision", "transformers:user/gated", TOKEN)]
    answers = iter(published.load(*[wanted for group in groups.values() for wanted in group]))
    return {name: [next(answers) for _ in group] for name, group in groups.items()}


def test_every_spec_is_recorded_with_its_commit(said, published):
    commits = published.commits
    expected = {
        "transformers": f"transformers:user/convnext@{commits['newer']}",
        "older": f"transformers:user/convnext@{commits['convnext']}",
        "language": f"transformers:user/qwen3@{commits['qwen3']}#2",
        "timm": f"timm:user/timm@{commits['timm']}",
        "open_clip": f"open_clip:hf-hub:user/clip@{commits['clip']}",
        "open_clip text": f"open_clip:hf-hub:user/clip@{commits['clip']}#1",
        "opened": f"transformers:user/gated@{commits['gated']}",
    }
    assert {name: said[name][0].get("spec", said[name][0]) for name in expected} == expected
    assert said["transformers"][0]["fingerprint"] != said["older"][0]["fingerprint"]


def test_a_model_comes_with_its_foundations(said, published):
    (newest,), (tagged,) = said["model"], said["tagged model"]
    specs = {
        "vision": f"transformers:user/convnext@{published.commits['convnext']}",
        "language": f"transformers:user/qwen3@{published.commits['qwen3']}#2",
    }
    assert newest == tagged and json.loads(newest["spec"]) == specs


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_refused_says_what_to_do(said, kind):
    for wanted, one in zip(REFUSED[kind], said[kind], strict=True):
        assert ADVICE[kind] in one.get("error", ""), (wanted, one)


@pytest.mark.slow
def test_what_was_recorded_stays_the_same_and_needs_no_network(said, published, tmp_path):
    """The repositories have gone on: first into an empty cache, then from the cache, with nobody at the hub's port."""
    hub = published.hub
    for name in ("user/convnext", "user/qwen3", "user/timm", "user/clip"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "README.md").write_text("a newer commit without a model")
        hub.publish(name, tmp_path / name)
    names = [name for name, (kind, _) in LOADED.items() if kind != "model"]
    wanted = [(LOADED[name][0], said[name][0]["spec"]) for name in names] + [LOADED["model"]]
    expected = [said[name][0]["fingerprint"] for name in [*names, "model"]]
    home = {"HF_HOME": str(tmp_path / "home")}
    online = published.load(*wanted, **home)
    assert [one.get("fingerprint", one) for one in online] == expected
    assert [one["spec"] for one in online[:-1]] == [spec for _, spec in wanted[:-1]]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}"
        unknown = [("vision", f"{library}user/gated") for library in ("transformers:", "timm:", "open_clip:hf-hub:")]
        offline = published.load(*wanted, *unknown, ("model", "user/empty"), HF_ENDPOINT=nobody, **home)
    assert [one.get("fingerprint", one) for one in offline[: len(wanted)]] == expected
    for one in offline[len(wanted) :]:
        assert re.search(r"the hub cannot be reached and user/(gated|empty) is not in the local cache", one["error"]), (
            one
        )
        assert "`hf download user/" in one["error"]
