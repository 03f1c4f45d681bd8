"""Replays the original's recorded runs (fixtures of the reference) through this package and compares every array."""

from find.integrations.official.parity.fixture import Comparison, Fixture, Reference
from find.integrations.official.parity.replay import REPLAYS, replay

__all__ = ["REPLAYS", "Comparison", "Fixture", "Reference", "replay"]
