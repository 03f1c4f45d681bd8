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

from find.config import FINDConfig, InterfaceConfig
from find.foundations.tiny import FOLDER
from find.model import FIND

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

    def load(self, *wanted: tuple[str, str], **environment: str) -> list[dict[str, str]]:
        """What `hub_driver` says of each (kind, spec)."""
        known = {"HF_ENDPOINT": self.hub.url, "HF_HOME": str(self.home), "HF_HUB_DISABLE_TELEMETRY": "1"}
        variables = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
        result = subprocess.run(
            [sys.executable, str(HERE / "hub_driver.py"), json.dumps(wanted)],
            env=variables
            | known
            | {"no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1", "OMP_NUM_THREADS": "1"}
            | environment,
            cwd=HERE.parents[1],
            capture_output=True,
            text=True,
            timeout=300,
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
        tower = timm.create_model("test_resnet", num_classes=3)
        save_for_hf(tower, str(root / "timm"), model_config={"num_classes": 3})
        commits["timm"] = hub.publish("user/timm", root / "timm")
        (root / "empty").mkdir()
        (root / "empty" / "README.md").write_text("no model")
        hub.publish("user/empty", root / "empty")
        yield Published(hub, root / "home", commits)


@pytest.fixture(scope="module")
def loaded(published) -> dict[str, dict[str, str]]:
    """What became of every library's spec, online."""
    specs = {
        "transformers": ("vision", "transformers:user/convnext"),
        "older": ("vision", "transformers:user/convnext@v1"),
        "language": ("language", "transformers:user/qwen3#2"),
        "timm": ("vision", "timm:user/timm"),
        "open_clip": ("vision", "open_clip:hf-hub:user/clip"),
        "open_clip text": ("language", "open_clip:hf-hub:user/clip#1"),
    }
    return dict(zip(specs, published.load(*specs.values()), strict=True))


class TestFetching:
    def test_every_spec_is_recorded_with_its_commit(self, loaded, published):
        commits = published.commits
        assert {name: one.get("spec", one.get("error")) for name, one in loaded.items()} == {
            "transformers": f"transformers:user/convnext@{commits['newer']}",
            "older": f"transformers:user/convnext@{commits['convnext']}",
            "language": f"transformers:user/qwen3@{commits['qwen3']}#2",
            "timm": f"timm:user/timm@{commits['timm']}",
            "open_clip": f"open_clip:hf-hub:user/clip@{commits['clip']}",
            "open_clip text": f"open_clip:hf-hub:user/clip@{commits['clip']}#1",
        }

    def test_revisions_differ(self, loaded):
        assert loaded["transformers"]["fingerprint"] != loaded["older"]["fingerprint"]

    def test_what_was_recorded_gives_the_same_weights_when_the_repository_went_on(self, loaded, published, tmp_path):
        """Twice: from the hub into an empty cache, and without any network from the cache."""
        hub = published.hub
        for name in ("user/convnext", "user/qwen3", "user/timm", "user/clip"):
            (tmp_path / name).mkdir(parents=True)
            (tmp_path / name / "README.md").write_text("a newer commit without a model")
            hub.publish(name, tmp_path / name)
        kinds = {"language": "language", "open_clip text": "language"}
        wanted = [(kinds.get(name, "vision"), one["spec"]) for name, one in loaded.items()]
        fresh = str(tmp_path / "home")
        expected = [one["fingerprint"] for one in loaded.values()]
        try:
            online = published.load(*wanted, HF_HOME=fresh)
            assert [one.get("fingerprint", one) for one in online] == expected
            assert [one["spec"] for one in online] == [spec for _, spec in wanted]
            offline = published.load(*wanted, HF_HOME=fresh, HF_HUB_OFFLINE="1")
            assert [one.get("fingerprint", one) for one in offline] == expected
        finally:
            for name, key in (("convnext", "newer"), ("qwen3", "qwen3"), ("timm", "timm"), ("clip", "clip")):
                hub.repositories[f"user/{name}"].branches["main"] = published.commits[key]


class TestModels:
    @pytest.fixture(scope="class")
    def find(self, published, tmp_path_factory) -> tuple[str, str]:
        """A FIND on the hub whose foundations are the hub's: its fingerprint and commit."""
        folder = tmp_path_factory.mktemp("find")
        texts, root = published.hub.repositories["user/qwen3"], published.hub.repositories["user/convnext"]
        qwen3, convnext = (r.commits[published.commits[key]] for r, key in ((texts, "qwen3"), (root, "convnext")))
        config = FINDConfig(
            vision=f"transformers:{convnext}", language=f"transformers:{qwen3}#2", interface=SMALL, shortest_side=64,
            longest_side=64,
        )  # fmt: skip
        torch.manual_seed(0)
        model = FIND.build(config)
        model.save_pretrained(folder)
        about = json.loads((folder / "config.json").read_text())
        about["vision"] = f"transformers:user/convnext@{published.commits['convnext']}"
        about["language"] = f"transformers:user/qwen3@{published.commits['qwen3']}#2"
        (folder / "config.json").write_text(json.dumps(about))
        return model.fingerprint, published.hub.publish("user/find", folder, "main", "v1")

    def test_a_model_comes_with_its_foundations_from_the_hub(self, find, published):
        fingerprint, commit = find
        newest, tagged, pinned = published.load(
            ("model", "user/find"), ("model", "user/find@v1"), ("model", f"user/find@{commit}")
        )
        assert newest.get("fingerprint", newest) == tagged["fingerprint"] == pinned["fingerprint"] == fingerprint
        assert json.loads(newest["spec"])["vision"] == f"transformers:user/convnext@{published.commits['convnext']}"

    def test_what_is_no_model_is_told(self, find, published):
        empty, missing, revision = published.load(
            ("model", "user/empty"), ("model", "user/nothing"), ("model", "user/find@v9")
        )
        assert "no config.json in https://huggingface.co/user/empty/tree/main" in empty["error"]
        assert "there is no https://huggingface.co/user/nothing that you may see" in missing["error"]
        assert "user/find has no revision 'v9'" in revision["error"]


class TestFaults:
    def test_gated_weights_say_where_to_accept_their_licence(self, published):
        kinds = ("transformers:user/gated", "timm:user/gated", "open_clip:hf-hub:user/gated")
        wanted = [("vision", kind) for kind in kinds]
        for one in [*published.load(*wanted), *published.load(*wanted[:1], HF_TOKEN="hf_of_somebody_else")]:
            assert re.search(
                r"user/gated is gated: accept its licence at https://huggingface.co/user/gated, then `hf auth login`",
                one["error"],
            ), one
        (opened,) = published.load(wanted[0], HF_TOKEN=TOKEN)
        assert opened["spec"] == f"transformers:user/gated@{published.commits['gated']}"

    def test_missing_repositories_revisions_and_files_are_told(self, published):
        said = published.load(
            ("vision", "transformers:user/nothing"),
            ("vision", "timm:user/nothing"),
            ("language", "open_clip:hf-hub:user/nothing"),
            ("vision", "transformers:user/convnext@v7"),
            ("vision", "timm:user/timm@v7"),
            ("vision", "open_clip:hf-hub:user/clip@v7"),
            ("language", "transformers:user/empty"),
            ("vision", "timm:user/empty"),
            ("vision", "open_clip:hf-hub:user/empty"),
        )
        messages = [one["error"] for one in said]
        for message in messages[:3]:
            assert "there is no https://huggingface.co/user/nothing that you may see: check the name" in message
        for message in messages[3:6]:
            assert "has no revision 'v7': see https://huggingface.co/user/" in message
        for message in messages[6:8]:
            assert re.search(r"user/empty has no such file; is it a model of this library\?", message), message
        assert "no open_clip_config.json in https://huggingface.co/user/empty/tree/main" in messages[8]

    def test_no_network_says_how_to_get_the_files_here(self, published, tmp_path):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))  # a port on which nobody listens
            nowhere = f"http://127.0.0.1:{free.getsockname()[1]}"
            specs = ("transformers:user/convnext", "timm:user/timm", "open_clip:hf-hub:user/clip")
            said = published.load(
                *[("vision", spec) for spec in specs],
                ("model", "user/find"),
                HF_ENDPOINT=nowhere,
                HF_HOME=str(tmp_path),
            )
        for one, name in zip(said, ("convnext", "timm", "clip", "find"), strict=True):
            assert f"the hub cannot be reached and user/{name} is not in the local cache" in one["error"]
            assert f"`hf download user/{name}`" in one["error"]
