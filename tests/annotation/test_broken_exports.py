"""One broken value anywhere in an export: it is told, or the import is refused in one sentence; never a traceback."""

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import exports
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from find.annotation.importing import import_export
from find.data.check import check_folder
from find.errors import FindError

WRITERS: dict[str, Callable[[Path], Path]] = {
    "roboflow": exports.roboflow,
    "cvat coco": exports.cvat_coco,
    "cvat xml": exports.cvat_xml,
    "label studio coco": exports.label_studio_coco,
    "label studio json": exports.label_studio_json,
    "labelme": exports.labelme,
    "yolo": exports.yolo,
}
OBJECTS = sum(map(len, exports.OBJECTS.values()))
WRONG = [
    None,
    True,
    -1,
    0,
    7,
    2**70,
    1e300,
    0.5,
    float("nan"),
    float("inf"),
    "",
    "x",
    "../../a",
    "é\ud800",
    [],
    [[]],
    {},
    [1, 2],
]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {tool: write(tmp_path_factory.mktemp("export") / "export") for tool, write in WRITERS.items()}


def places(value: Any, path: tuple = ()) -> list[tuple]:
    """Of every value in a JSON document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, one in inner for place in places(one, (*path, key)))]


def changed(value: Any, path: tuple, new: Any) -> Any:
    if not path:
        return new
    copy = value.copy()
    copy[path[0]] = changed(value[path[0]], path[1:], new)
    return copy


def broken(text: str, is_json: bool, draw: st.DataObject) -> tuple[str, bool]:
    """The text with one change, and whether it may not mean something else now."""
    if is_json:
        content = json.loads(text)
        place = draw.draw(st.sampled_from([place for place in places(content) if len(place) < 8]))
        new = draw.draw(st.sampled_from(WRONG))
        return json.dumps(changed(content, place, new)), new != []  # a list may be empty
    words = [k for k, mark in enumerate(text) if mark in ' ",;\n']
    start = draw.draw(st.sampled_from(words))
    end = min(len(text), start + draw.draw(st.integers(1, 12)))
    new = draw.draw(st.sampled_from(["", " ", "\n", '"', "nan", "-1", "1e400", "<", "&x;", "é"]))
    return text[:start] + new + text[end:], False


@pytest.mark.parametrize("tool", WRITERS)
@settings(max_examples=8)
@given(draw=st.data())
def test_a_broken_value_is_told_or_refused(tool: str, written: dict[str, Path], draw: st.DataObject):
    with tempfile.TemporaryDirectory() as folder:
        root, out = Path(folder) / "export", Path(folder) / "out"
        shutil.copytree(written[tool], root)
        files = [path for suffix in ("json", "xml", "txt", "yaml") for path in sorted(root.rglob(f"*.{suffix}"))]
        path = draw.draw(st.sampled_from([file for file in files if not file.name.startswith("README")]))
        text, is_wrong = broken(path.read_text(), path.suffix == ".json", draw)
        path.write_text(text, encoding="utf-8", errors="surrogatepass")
        try:
            result = import_export(root, out, progress=False)
        except FindError as error:
            assert str(error) and not out.exists() and not out.with_name("out.part").exists()
            return
        if is_wrong and sum(result.objects.values()) < OBJECTS:
            assert result.issues
        assert not check_folder(out).has_errors
