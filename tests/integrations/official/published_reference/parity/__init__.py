"""Replays the original's recorded runs (fixtures of the reference) through this package and compares every array."""

from published_reference.parity.fixture import Comparison, Fixture, Reference
from published_reference.parity.replay import REPLAYS, replay

__all__ = ["REPLAYS", "Comparison", "Fixture", "Reference", "replay"]
