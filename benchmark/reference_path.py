"""Importing this lets a benchmark import `published_reference`: the published FIND's losses, recipes and replays, which
live with the tests that compare them with ours."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "integrations" / "official"))
