"""Claims about scripts/environment.sh: which Python and which PyTorch the commands take; and about the workflows."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

CLONE = Path(__file__).resolve().parents[1]
ENVIRONMENT = CLONE / "scripts" / "environment.sh"


def find_python(folder: Path, pythons: dict[str, str], **variables: str) -> subprocess.CompletedProcess:
    """Asks for a Python where only these programs are on the path: each says whether it fits, and nothing else."""
    return run(folder, pythons, "find_python", **variables)


def run(folder: Path, programs: dict[str, str], command: str, **variables: str) -> subprocess.CompletedProcess:
    """A function of the environment where only these programs, given by their shell code, are on the path."""
    for name, code in programs.items():
        (folder / name).write_text(f"#!/bin/sh\n{code}\n")
        (folder / name).chmod(0o755)
    (folder / "dirname").symlink_to(shutil.which("dirname"))
    return subprocess.run(
        [shutil.which("bash"), "-c", f"source {ENVIRONMENT}; {command}"],
        env={"PATH": str(folder)} | variables,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    ("pythons", "chosen"),
    [
        ({"python3": "true", "python3.12": "true"}, "python3"),
        ({"python3": "false", "python3.12": "true"}, "python3.12"),
        ({"python3": "false", "uv": "true"}, ">=3.10,<3.14"),
    ],
)
def test_a_fitting_python_goes_first_and_uv_fetches_one_where_there_is_none(tmp_path, pythons, chosen):
    assert find_python(tmp_path, pythons).stdout.strip() == chosen


def test_without_one_the_mend_is_told(tmp_path):
    result = find_python(tmp_path, {"python3": "false"})
    assert result.returncode == 1 and "Python 3.10, 3.11, 3.12 or 3.13 is needed" in result.stderr


def test_one_that_was_named_and_does_not_fit_is_not_passed_over(tmp_path):
    result = find_python(tmp_path, {"python3": "true", "old": "false"}, FIND_PYTHON="old")
    assert result.returncode == 1 and "FIND_PYTHON=old" in result.stderr


def test_the_range_is_read_from_the_version_itself(tmp_path):
    """What `is_fitting` asks a real Python: this one runs the tests, so it fits."""
    os.symlink(sys.executable, tmp_path / "python3")
    assert find_python(tmp_path, {}).stdout.strip() == "python3"


NO_GPU = "has_gpu() { return 1; }; "


@pytest.mark.parametrize(
    ("programs", "command", "variables", "backend"),
    [
        ({"uv": "true"}, NO_GPU + "torch_backend python Linux", {}, "cpu"),
        ({"uv": "true"}, NO_GPU + "torch_backend python Darwin", {}, ""),  # whose usual build has no CUDA
        ({"uv": "true"}, "has_gpu() { true; }; torch_backend python Linux", {}, ""),
        ({"uv": "true"}, NO_GPU + "torch_backend python Linux", {"UV_TORCH_BACKEND": "auto"}, ""),  # as the user says
        ({"uv": "[ $1 = --version ]"}, NO_GPU + "torch_backend python Linux", {}, ""),  # the index is out of reach
        ({}, NO_GPU + "torch_backend python Linux", {}, ""),
    ],
)
def test_pytorch_s_cpu_build_is_taken_where_it_serves_and_can_be_had(tmp_path, programs, command, variables, backend):
    result = run(tmp_path, programs, f"set -e; {command}", **variables)
    assert (result.returncode, result.stdout.strip()) == (0, backend)


def test_where_the_cpu_build_cannot_be_installed_the_usual_one_is(tmp_path):
    """An index may tell of a build that it does not give."""
    uv = 'echo "$UV_TORCH_BACKEND $*" >>"$LOG"; case "$UV_TORCH_BACKEND" in cpu) exit 1;; esac'
    log = tmp_path / "log"
    result = run(tmp_path, {"uv": uv}, f"uname() {{ echo Linux; }}; {NO_GPU}install_with_uv py -e .", LOG=str(log))
    assert result.returncode == 0 and "taking the usual one" in result.stderr
    assert [line.split()[0] for line in log.read_text().splitlines()[-2:]] == ["cpu", "pip"]


def test_the_lowest_versions_need_uv_and_a_python_that_has_them(tmp_path):
    result = run(tmp_path, {}, f"cd {tmp_path}; touch pyproject.toml; cksum() {{ echo 1; }}; prepare_lowest")
    assert result.returncode == 1 and "--lowest needs uv" in result.stderr
    programs = {"python3.11": "true", "python3.10": "false"}
    (tmp_path / "dirname").unlink()
    assert run(tmp_path, programs, "find_old_python").stdout.strip() == "python3.11"


def test_the_workflows_run_every_python_that_the_package_declares():
    jobs = yaml.safe_load((CLONE / ".github/workflows/ci.yml").read_text())["jobs"]
    about = (CLONE / "pyproject.toml").read_text()
    matrix = jobs["tests"]["strategy"]["matrix"]
    assert matrix["python"] == re.findall(r"Programming Language :: Python :: (3\.\d+)", about)
    assert {system.split("-")[0] for system in matrix["system"]} == {"ubuntu", "macos"}
    commands = [step.get("run", "") for job in jobs.values() for step in job["steps"]]
    assert ".ci/run" in commands and ".ci/run --lowest" in commands
