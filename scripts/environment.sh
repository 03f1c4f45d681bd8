# Sourced by the commands beside it. Makes the clone's own environment in .venv with the package in it, and
# re-uses it as long as neither pyproject.toml nor the wanted extra changes. Bash 3.2 is enough.
# Where uv is there, but no GPU, that is PyTorch's CPU build; UV_TORCH_BACKEND, which uv reads, says otherwise.

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
export HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1 # everything that runs from here ships with the package
export PYTHONUNBUFFERED=1

# The versions that FIND is tested with.
PYTHON_RANGE=">=3.10,<3.14"

is_fitting() {
    "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1
}

# Prints a fitting Python: FIND_PYTHON if it is set, else the first on the path, else the range, for uv to fetch one.
find_python() {
    local candidate
    if [ -n "${FIND_PYTHON:-}" ]; then
        is_fitting "$FIND_PYTHON" && echo "$FIND_PYTHON" && return
        echo "error: FIND_PYTHON=$FIND_PYTHON is not Python 3.10, 3.11, 3.12 or 3.13" >&2
        return 1
    fi
    for candidate in python3 python python3.13 python3.12 python3.11 python3.10; do
        is_fitting "$candidate" && echo "$candidate" && return
    done
    has_uv && echo "$PYTHON_RANGE" && return
    echo "error: Python 3.10, 3.11, 3.12 or 3.13 is needed, here is $(python3 --version 2>/dev/null || echo none);" \
        "install one, or uv, which fetches one, or name it: FIND_PYTHON=/path/to/python $0" >&2
    return 1
}

has_uv() {
    uv --version >/dev/null 2>&1
}

# Whether a driver of NVIDIA's or AMD's GPUs is here, also below Windows.
has_gpu() {
    [ -e /proc/driver/nvidia/version ] || [ -e /dev/kfd ] || [ -e /dev/dxg ] || nvidia-smi -L >/dev/null 2>&1
}

# Prints what UV_TORCH_BACKEND should be for an environment's Python: cpu on Linux without a GPU, whose usual build of
# PyTorch is for CUDA and several GB larger. Nothing where that is not so, where the user has chosen, or where uv cannot
# reach the index of those builds, as behind a mirror.
torch_backend() {
    local python="$1" system="${2:-$(uname -s)}"
    [ -z "${UV_TORCH_BACKEND:-}" ] && [ "$system" = Linux ] && has_uv && ! has_gpu || return 0
    UV_HTTP_RETRIES=0 UV_HTTP_TIMEOUT=15 uv pip install --python "$python" --dry-run --no-deps --torch-backend cpu torch \
        >/dev/null 2>&1 && echo cpu || return 0
}

# The first Python that has wheels of the lowest versions; else the one that uv is to fetch.
find_old_python() {
    local candidate
    for candidate in ${FIND_PYTHON:-} python3.10 python3.11 python3.12 python3 python; do
        "$candidate" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' >/dev/null 2>&1 &&
            echo "$candidate" && return
    done
    echo "3.10"
}

# install_with_uv PYTHON ARGUMENTS...: with PyTorch's build for this machine, else the usual one.
install_with_uv() {
    local python="$1" backend
    shift
    backend="$(torch_backend "$python")"
    if [ -n "$backend" ]; then
        UV_TORCH_BACKEND="$backend" uv pip install --python "$python" "$@" && return
        echo "PyTorch's $backend build could not be installed; taking the usual one" >&2
    fi
    uv pip install --python "$python" "$@"
}

# prepare_environment [EXTRA[,EXTRA...]]: after it, .venv/bin/python runs the package of this clone.
prepare_environment() {
    local extra="${1:-}" stamp python checksum
    stamp=".venv/find-installed${extra:+-$extra}"
    checksum="$(cksum <pyproject.toml)"
    if [ -x .venv/bin/python ] && [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$checksum" ]; then
        return
    fi
    if [ -x .venv/bin/python ] && ! is_fitting .venv/bin/python; then
        echo "error: .venv has $(.venv/bin/python --version 2>&1), 3.10 to 3.13 is needed; remove .venv and try again" >&2
        return 1
    fi
    python="$(find_python)" || return 1
    if has_uv; then
        [ -x .venv/bin/python ] || uv venv --python "$python" .venv || return 1
        install_with_uv .venv/bin/python -e ".${extra:+[$extra]}" || return 1
    else
        [ -x .venv/bin/python ] || "$python" -m venv .venv || return 1
        .venv/bin/python -m pip --version >/dev/null 2>&1 || .venv/bin/python -m ensurepip || return 1
        .venv/bin/python -m pip install --disable-pip-version-check -e ".${extra:+[$extra]}" || return 1
    fi
    echo "$checksum" >"$stamp"
}

# prepare_lowest: after it, .venv-lowest/bin/python has the lowest versions that pyproject.toml allows, and the tests'.
prepare_lowest() {
    local stamp=.venv-lowest/find-installed checksum
    checksum="$(cksum <pyproject.toml)"
    if [ -x .venv-lowest/bin/python ] && [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$checksum" ]; then
        return
    fi
    if ! has_uv; then
        echo "error: --lowest needs uv, which alone can resolve the lowest versions: pip install uv" >&2
        return 1
    fi
    [ -x .venv-lowest/bin/python ] || uv venv --python "$(find_old_python)" .venv-lowest || return 1
    install_with_uv .venv-lowest/bin/python --resolution lowest-direct -e '.[test]' || return 1
    echo "$checksum" >"$stamp"
}
