"""`official/...` models: the hub library's own code against a hub on this machine with files of the published form."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
import torch
from hub_server import TOKEN, Hub, serve_hub
from huggingface_hub.errors import HfHubHTTPError
from published_form import LLAMA_BLOCKS, LLAMA_WIDTH, SMALL, UNWRITTEN, random_state, write_checkpoint
from text_models import write_text_model
from transformers import LlamaConfig, LlamaModel

from find.errors import CheckpointError
from find.foundations.focal import Flavour, FocalConfig
from find.foundations.source import Source
from find.integrations.official.convert import convert
from find.integrations.official.releases import RELEASES
from find.integrations.official.remote_file import RemoteFile
from find.model.config import InterfaceConfig
from find.model.model import FIND

HERE = Path(__file__).resolve().parent
MODEL, LARGE = "official/find-focalt-llama", 25_000_000
FILES = {name: release.file for name, release in RELEASES.items()}
FILE = FILES["find-focalt-llama"]
REVISION = RELEASES["find-focalt-llama"].revision


@dataclass
class Machine:
    """A hub, and a process of a user whose cache it fills."""

    hub: Hub
    process: subprocess.Popen[str]
    cache: Path
    root: Path

    def load(self, name: str = MODEL, **options: object) -> dict:
        assert self.process.stdin is not None and self.process.stdout is not None
        print(json.dumps({"name": name, **options}), file=self.process.stdin, flush=True)
        answer = json.loads(self.process.stdout.readline())
        assert "traceback" not in answer, answer["traceback"]
        return answer

    def refused(self, name: str = MODEL, **options: object) -> str:
        error = self.load(name, **options)["error"]
        assert "\n" not in error
        return error

    def blob(self, file: str) -> Path:
        return next(self.cache.glob(f"hub/models--xueyanz--FIND/snapshots/*/{file}")).resolve()


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    """LLaMA and the published repository under their own names; gated LLaMAs, another one, and another revision."""
    root = tmp_path_factory.mktemp("published")
    (root / "FIND").mkdir()
    write_checkpoint(root / "FIND" / FILE, FocalConfig(Flavour.DEPTHWISE, **SMALL), filled_up_to=LARGE)
    write_checkpoint(root / "FIND" / FILES["find-focall-llama"], FocalConfig(Flavour.PLAIN, **SMALL))
    llama = write_text_model("llama", root)
    with serve_hub() as hub:
        hub.publish("xueyanz/FIND", root / "FIND", "main")
        hub.repositories["xueyanz/FIND"].commits[REVISION] = root / "FIND"
        (root / "empty").mkdir()
        (root / "empty" / "README.md").write_text("before the files came")
        hub.publish("xueyanz/FIND", root / "empty", "v0")
        hub.publish("huggyllama/llama-7b", llama)
        hub.publish("meta/gated", llama, gated=True)
        hub.publish("user/qwen", write_text_model("qwen3", root))
        hub.publish("user/nothing-in-it", root / "empty")
        (root / "config").mkdir()
        shutil.copy(llama / "config.json", root / "config")
        hub.publish("user/config-alone", root / "config")
        known = {"llama_width": LLAMA_WIDTH, "llama_blocks": LLAMA_BLOCKS, "unwritten": asdict(UNWRITTEN)}
        with user_of(hub, root, {name: facts_of(root / "FIND" / file) | known for name, file in FILES.items()}) as user:
            yield user


def facts_of(file: Path) -> dict[str, object]:
    data = file.read_bytes()
    return {"file": file.name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


@contextmanager
def user_of(hub: Hub, root: Path, releases: dict[str, dict]) -> Iterator[Machine]:
    """A process in which this hub is the only one, and these files are the published ones."""
    own = ("HF_", "HUGGING", "TRANSFORMERS_", "FIND_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    environment |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(root / "home"), "HF_HUB_DISABLE_TELEMETRY": "1"}
    environment |= {"no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1", "OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = os.pathsep.join([str(HERE.parents[2]), str(HERE)])
    with subprocess.Popen(
        [sys.executable, str(HERE / "official_driver.py")],
        env=environment,
        cwd=root,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        print(json.dumps(releases), file=process.stdin, flush=True)
        yield Machine(hub, process, root / "home", root)
        process.kill()


@pytest.fixture(autouse=True)
def fresh(machine):
    """Nothing is cached, everything is reachable, and nothing was asked for."""
    shutil.rmtree(machine.cache, ignore_errors=True)
    machine.hub.budget, machine.hub.cut = float("inf"), 0
    machine.hub.asked.clear()
    machine.hub.ranges.clear()


@pytest.fixture(scope="module")
def expected(machine) -> str:
    """The fingerprint of what `findvl convert official` makes of the file."""
    folder = convert(
        machine.root / "FIND" / FILE,
        machine.root / "converted",
        llama=str(machine.root / "llama"),
        unwritten=UNWRITTEN,
    ).folder
    return FIND.from_pretrained(folder).fingerprint


def test_one_line_gives_the_model_and_the_second_time_nothing_is_fetched(machine, expected):
    first = machine.load()
    assert first["fingerprint"] == expected
    assert first["mask"] == [40, 64] and first["classes"] >= 133
    commit = machine.hub.repositories["huggyllama/llama-7b"].branches["main"]
    assert first["language"] == f"llama:huggyllama/llama-7b@{commit}#2"
    assert Path(first["folder"]).is_relative_to(machine.cache / "assets" / "findvl" / "official")
    said = first["said"].splitlines()
    assert said[0] == f"{MODEL} is fetched and converted once:"
    size = f"{(machine.root / 'FIND' / FILE).stat().st_size / 1e6:.1f} MB"
    assert size in said[1] and "https://huggingface.co/xueyanz/FIND (Apache-2.0)" in said[1]
    assert "https://huggingface.co/huggyllama/llama-7b" in said[2]
    assert said[3].split()[:3] == ["converted", *size.split()] and first["folder"] in said[3]
    assert "CPU (float32)" in said[4] and "GPU (float16)" in said[4]
    assert machine.hub.downloads(FILE) == machine.hub.downloads("model.safetensors") == 1

    machine.hub.budget = 0  # the network is gone
    again = machine.load()
    assert MODEL not in again["said"]
    assert (again["fingerprint"], again["folder"]) == (expected, first["folder"])


def test_what_is_in_the_cache_is_converted_without_network(machine, expected):
    machine.load()
    shutil.rmtree(machine.cache / "assets")
    (snapshot,) = machine.cache.glob("hub/models--xueyanz--FIND/snapshots/*")
    main = machine.hub.repositories["xueyanz/FIND"].branches["main"]
    snapshot.rename(snapshot.with_name(main))  # as `hf download xueyanz/FIND` leaves it
    (machine.cache / "hub" / "models--xueyanz--FIND" / "refs").mkdir(exist_ok=True)
    (machine.cache / "hub" / "models--xueyanz--FIND" / "refs" / "main").write_text(main)
    machine.hub.budget = 0
    answer = machine.load()
    assert answer.get("fingerprint") == expected, answer


def test_the_other_model_has_the_other_backbone(machine):
    other = machine.load("official/find-focall-llama")
    about = json.loads((Path(other["folder"]) / "backbone" / "focal.json").read_text())
    assert about["flavour"] == "focal" and other["mask"] == [40, 64]


def test_what_is_known_without_the_hub_is_told_without_it(machine):
    error = machine.refused("official/find-focalx")
    assert "no published model 'official/find-focalx'; there are official/find-focalt-llama, official/find-f" in error
    assert "there is no folder '/nowhere/llama'" in machine.refused(llama="/nowhere/llama")
    bare = machine.root / "bare"
    shutil.copytree(machine.root / "llama", bare, ignore=shutil.ignore_patterns("*.safetensors"), dirs_exist_ok=True)
    assert "bare has no weights" in machine.refused(llama=str(bare))
    assert "only official/... models are made with a LLaMA" in machine.refused("find-tiny", llama="user/llama")
    assert "HF_HOME" in machine.refused(cache_dir="/somewhere")
    assert machine.hub.asked == []


def test_without_network_one_line_tells(machine):
    machine.hub.budget = 0
    error = machine.refused()
    assert error.startswith(MODEL)
    assert "the hub cannot be reached" in error and "`hf download xueyanz/FIND`" in error


@pytest.mark.parametrize("token", [None, "hf_of_somebody_else"])
def test_gated_llama_is_told_before_anything_large_is_fetched(machine, token):
    environment = {"HF_TOKEN": token} if token else {}
    error = machine.refused(llama="meta/gated", environment=environment)
    assert "meta/gated is gated: accept its licence at https://huggingface.co/meta/gated" in error
    assert "`hf auth login`" in error and "FIND_LLAMA=" in error
    assert not [path for method, path in machine.hub.asked if method == "GET" and path.endswith(FILE)]


def test_gated_llama_opens_with_the_token(machine, expected):
    opened = machine.load(llama="meta/gated", environment={"HF_TOKEN": TOKEN})
    assert opened["fingerprint"] == expected and "llama:meta/gated@" in opened["language"]


@pytest.mark.parametrize(
    ("llama", "reported"),
    [
        ("user/nowhere", "there is no https://huggingface.co/user/nowhere that you may see"),
        ("user/nothing-in-it", "user/nothing-in-it has no such file"),
        ("user/config-alone", "https://huggingface.co/user/config-alone holds no weights"),
        ("user/qwen", "'qwen3', not a LLaMA"),
        ("huggyllama/llama-7b@v9", "has no revision 'v9'"),
    ],
)
def test_what_is_no_llama_is_told_before_anything_large_is_fetched(machine, llama, reported):
    error = machine.refused(llama=llama)
    assert reported in error and "FIND_LLAMA=" in error
    assert machine.hub.downloads(FILE) == machine.hub.downloads("model.safetensors") == 0


def test_llama_of_another_size_is_told_before_anything_large_is_fetched(machine):
    folder = shutil.copytree(machine.root / "llama", machine.root / "longer", dirs_exist_ok=True)
    about = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(about | {"num_hidden_layers": 5}))
    error = machine.refused(llama=str(folder))
    assert "a LLaMA of 3 blocks of width 16 (LLaMA-7B)" in error and "has 5 of width 16" in error
    assert machine.hub.downloads(FILE) == 0


def test_llama_2_is_warned_of(machine):
    folder = shutil.copytree(machine.root / "llama", machine.root / "second", dirs_exist_ok=True)
    about = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(about | {"rms_norm_eps": 1e-5}))
    said = machine.load(llama=str(folder))["said"]
    assert "adds 1e-05 in its norms, LLaMA-7B 1e-06: it looks like another model of the same size (Llama 2?)" in said


def test_revisions_without_the_file_or_at_all_are_told(machine):
    assert "xueyanz/FIND has no such file" in machine.refused(revision="v0")
    assert "xueyanz/FIND has no revision 'v9'" in machine.refused(revision="v9")


def test_another_revision_is_taken_as_it_is(machine, expected):
    assert machine.load(revision="main")["fingerprint"] == expected


def test_full_disk_is_told_before_anything_large_is_fetched(machine):
    size = (machine.root / "FIND" / FILE).stat().st_size
    error = machine.refused(free=size)  # the file itself fits, but not what it is converted to
    assert f"{(size) / 1e6:.1f} MB are free" in error and "HF_HOME" in error
    assert machine.hub.downloads(FILE) == 0
    machine.load(free=10 * size)


def test_broken_download_goes_on_where_it_stopped(machine, expected):
    machine.hub.budget = 13_000_000
    error = machine.refused()
    assert f"the download of {FILE} broke off" in error
    assert "run the same command again to resume" in error
    (partial,) = machine.cache.glob("hub/models--xueyanz--FIND/blobs/*.incomplete")
    there = partial.stat().st_size
    assert 0 < there <= 13_000_000 and f"{there / 1e6:.1f} MB of " in error

    machine.hub.budget = float("inf")
    machine.hub.ranges.clear()
    answer = machine.load()
    assert answer["fingerprint"] == expected
    assert machine.hub.ranges == [f"bytes={there}-"]
    size = (machine.root / "FIND" / FILE).stat().st_size
    assert f"{(size - there) / 1e6:.1f} MB" in answer["said"].splitlines()[1]


def test_a_disk_that_fills_up_meanwhile_is_told():
    file = RemoteFile(Source("xueyanz/FIND", None, MODEL), FILE, "0" * 40, 400_000_000, "1" * 64)
    with (
        pytest.raises(CheckpointError, match=f"{MODEL}: the disk is full; free 400.0 MB where .*HF_HOME"),
        file.explained(),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_addresses_that_expire_are_asked_for_again_when_the_download_starts(tmp_path, monkeypatch):
    digest = hashlib.sha256(b"whole").hexdigest()
    file = RemoteFile(Source("xueyanz/FIND", None, MODEL), FILE, "0" * 40, 5, digest)
    asked = []
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(
        "huggingface_hub.get_hf_file_metadata",
        lambda page: asked.append(page) or SimpleNamespace(location="http://new"),
    )
    monkeypatch.setattr(
        "huggingface_hub.file_download.http_get",
        lambda address, out, **_: asked.append(address) or out.write(b"whole"),
    )
    file.blobs.mkdir(parents=True)
    file._download()
    assert "0" * 40 in asked[0] and asked[1] == "http://new" and (file.blobs / digest).read_bytes() == b"whole"


def test_a_download_that_is_refused_can_be_resumed():
    file = RemoteFile(Source("xueyanz/FIND", None, MODEL), FILE, "0" * 40, 5, "1" * 64)
    response = httpx.Response(403, request=httpx.Request("GET", "http://nowhere"))
    with pytest.raises(CheckpointError) as caught, file.explained():
        raise HfHubHTTPError("403 Forbidden\nRequest has expired", response=response)
    assert str(caught.value).endswith("run the same command again: the download resumes")
    assert "403 Forbidden" in str(caught.value) and "\n" not in str(caught.value)


def test_file_that_arrives_short_is_removed(machine, expected):
    machine.hub.cut = 1000
    error = machine.refused(llama=str(machine.root / "llama"))
    assert f"what came of {FILE} is not" in error and "run the same again" in error
    assert not list(machine.cache.glob("hub/models--xueyanz--FIND/blobs/*"))
    machine.hub.cut = 0
    assert machine.load(llama=str(machine.root / "llama"))["fingerprint"] == expected


def test_part_that_is_not_of_the_file_is_found_out(machine):
    blobs = machine.cache / "hub" / "models--xueyanz--FIND" / "blobs"
    blobs.mkdir(parents=True)
    etag = hashlib.sha256((machine.root / "FIND" / FILE).read_bytes()).hexdigest()
    (blobs / f"{etag}.incomplete").write_bytes(b"\0" * 12_000_000)
    error = machine.refused(llama=str(machine.root / "llama"))
    assert "arrived damaged" in error and "run the same again" in error
    assert not list(blobs.glob("*.incomplete"))


def test_damaged_file_in_the_cache_is_told(machine):
    machine.load()
    shutil.rmtree(machine.cache / "assets")
    blob = machine.blob(FILE)
    with blob.open("r+b") as opened:
        opened.truncate(1_000_000)
    error = machine.refused()
    assert f"{blob} is damaged" in error and "delete it" in error
    blob.unlink()
    machine.load()


def test_nothing_in_a_published_file_is_executed(machine, tmp_path):
    class Code:
        def __reduce__(self):
            return (open, (str(tmp_path / "trace"), "w"))

    (machine.root / "evil").mkdir()
    torch.save({"weight": Code()}, machine.root / "evil" / FILE)
    machine.hub.publish("xueyanz/FIND", machine.root / "evil", "evil")
    assert "holds more than tensors" in machine.refused(revision="evil", llama=str(machine.root / "llama"))
    assert not (tmp_path / "trace").exists()


def test_classes_are_computed_in_float32_where_float16_is_emulated_and_memory_suffices(machine, tmp_path, monkeypatch):
    def far(name: str) -> float:
        """How far the kept class embeddings are from those that a CPU computes in float32."""
        folder = convert(machine.root / "FIND" / FILE, tmp_path / name, llama=str(llama), unwritten=UNWRITTEN).folder
        model = FIND.from_pretrained(folder)
        kept = model.embed_classes(["dog", "sky"])
        model.known_classes = {}
        return (kept - model.embed_classes(["dog", "sky"])).abs().max().item()

    llama = shutil.copytree(machine.root / "llama", tmp_path / "llama")
    LlamaModel.from_pretrained(llama, dtype=torch.float16).save_pretrained(llama)
    assert far("much") < 1e-6
    monkeypatch.setattr("find.integrations.official.convert.free_memory", lambda: 0)
    assert 1e-6 < far("little") < 1e-2


def test_llama_in_a_folder_is_remembered(machine, expected):
    folder = machine.root / "llama"
    first = machine.load(environment={"FIND_LLAMA": str(folder)})
    assert first["language"] == f"llama:{folder}#2" and first["fingerprint"] == expected
    assert not [path for _, path in machine.hub.asked if "huggyllama" in path]
    machine.hub.budget = 0
    assert machine.load()["folder"] == first["folder"]
    assert machine.load(llama=str(folder))["folder"] == first["folder"]


@pytest.mark.slow
def test_a_file_of_the_real_size_is_resumed_converted_and_segments(tmp_path):
    focal = FocalConfig(Flavour.DEPTHWISE, width=96, depths=(2, 2, 6, 2), levels=(3, 3, 3, 3))
    sizes = InterfaceConfig(
        width=512, heads=8, feedforward=2048, layers=9, queries=101, semantic_width=512, mask_width=512,
        decoder_width=512, decoder_layers=6, region_points=512, residual=False,
    )  # fmt: skip
    (tmp_path / "FIND").mkdir()
    torch.save(random_state(focal, sizes=sizes, llama_width=4096), tmp_path / "FIND" / FILE)
    facts = facts_of(tmp_path / "FIND" / FILE)
    assert facts["size"] == pytest.approx(RELEASES["find-focalt-llama"].size, rel=1e-3)
    llama = write_text_model("llama", tmp_path)
    small = json.loads((llama / "config.json").read_text())
    small |= {"hidden_size": 4096, "num_attention_heads": 32, "head_dim": 128}
    LlamaModel(LlamaConfig.from_dict(small)).save_pretrained(llama)
    known = {"llama_width": 4096, "llama_blocks": LLAMA_BLOCKS, "unwritten": {"feature_layer": -2}}
    with serve_hub() as hub:
        hub.publish("xueyanz/FIND", tmp_path / "FIND", "main")
        hub.repositories["xueyanz/FIND"].commits[REVISION] = tmp_path / "FIND"
        with user_of(hub, tmp_path, {"find-focalt-llama": facts | known}) as user:
            hub.budget = 200_000_000
            assert "run the same command again to resume" in user.refused(llama=str(llama))
            hub.budget = float("inf")
            answer = user.load(llama=str(llama))
            assert answer["mask"] == [40, 64] and answer["classes"] >= 133
            assert hub.ranges and all(int(asked[6:-1]) > 180_000_000 for asked in hub.ranges)
