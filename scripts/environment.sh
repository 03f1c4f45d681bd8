# Sourced by the commands beside it. Makes the clone's own environment in .venv with the package in it, and
# re-uses it as long as neither pyproject.toml nor the wanted extra changes. Bash 3.2 is enough.

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
        echo "error: FIND_PYTHON=$FIND_PYTHON is no Python 3.10, 3.11, 3.12 or 3.13" >&2
        return 1
    fi
    for candidate in python3 python python3.13 python3.12 python3.11 python3.10; do
        is_fitting "$candidate" && echo "$candidate" && return
    done
    uv --version >/dev/null 2>&1 && echo "$PYTHON_RANGE" && return
    echo "error: Python 3.10, 3.11, 3.12 or 3.13 is needed, here is $(python3 --version 2>/dev/null || echo none);" \
        "install one, or uv, which fetches one, or name it: FIND_PYTHON=/path/to/python $0" >&2
    return 1
}

# prepare_environment [EXTRA]: after it, .venv/bin/python runs the package of this clone.
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
    if uv --version >/dev/null 2>&1; then
        [ -x .venv/bin/python ] || uv venv --python "$python" .venv || return 1
        uv pip install --python .venv/bin/python -e ".${extra:+[$extra]}" || return 1
    else
        [ -x .venv/bin/python ] || "$python" -m venv .venv || return 1
        .venv/bin/python -m pip --version >/dev/null 2>&1 || .venv/bin/python -m ensurepip || return 1
        .venv/bin/python -m pip install --disable-pip-version-check -e ".${extra:+[$extra]}" || return 1
    fi
    echo "$checksum" >"$stamp"
}
