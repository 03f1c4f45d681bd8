"""What the pages' modules import from each other is exported there."""

import re
from pathlib import Path

import pytest

SERVING = Path(__file__).parents[2] / "find" / "serving"
MODULES = sorted([*SERVING.glob("page/*.js"), *SERVING.glob("review/page/*.js")])
IMPORT = re.compile(r'^import (?:\{(?P<names>[^}]*)\}|\* as (?P<space>\w+)) from "(?P<module>[^"]+)";', re.MULTILINE)
EXPORT = re.compile(r"^export (?:async )?(?:const|let|function\*?|class) (\w+)", re.MULTILINE)


def imports(module: Path) -> list[tuple[Path, list[str]]]:
    """Which module is imported from, and what."""
    text, found = module.read_text(), []
    for match in IMPORT.finditer(text):
        # the review's page serves the other page's modules one folder up
        source = (module.parent / match["module"]).resolve()
        if match["module"].startswith("../page/"):
            source = SERVING / "page" / source.name
        if match["names"] is None:
            names = re.findall(rf"\b{match['space']}\.(\w+)", IMPORT.sub("", text))
        else:
            names = [name.split(" as ")[0].strip() for name in match["names"].split(",") if name.strip()]
        found.append((source, names))
    assert len(found) == len(re.findall(r"^import ", text, re.MULTILINE)), "an import that this test does not read"
    return found


@pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.relative_to(SERVING)))
def test_what_is_imported_is_exported(module):
    for source, names in imports(module):
        missing = set(names) - set(EXPORT.findall(source.read_text()))
        assert not missing, f"{source.name} does not export {sorted(missing)}"
