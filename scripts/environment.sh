# Sourced by the commands beside it. Makes the clone's own environment in .venv with the package in it, and
# re-uses it as long as neither pyproject.toml nor the wanted extra changes. Bash 3.2 is enough.

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
export HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1 # everything that runs from here ships with the package
export PYTHONUNBUFFERED=1

find_python() {
    local candidate
    for candidate in "${FIND_PYTHON:-}" python3 python python3.13 python3.12 python3.11 python3.10; do
        [ -n "$candidate" ] || continue
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 10))' >/dev/null 2>&1; then
            echo "$candidate"
            return
        fi
    done
    echo "error: Python 3.10 or newer is needed; install it, or name it: FIND_PYTHON=/path/to/python $0" >&2
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
