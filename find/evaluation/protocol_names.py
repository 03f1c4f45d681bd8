"""The names of protocols, listed without importing any of them."""

from __future__ import annotations

from find.utils.entry_points import declared

GROUP = "find.protocols"
"""The group of entry points."""

PUBLISHED = (
    "panoptic", "grounding", "interactive", "retrieval", "interleaved_segmentation", "interleaved_retrieval",
)  # fmt: skip
"""The protocols of FIND-Bench's tables, in their order; the default of an evaluation."""


def protocol_names() -> list[str]:
    """The protocols of all installed packages: the published tasks in the order of their tables, then others."""
    return [*PUBLISHED, *sorted(declared(GROUP).keys() - set(PUBLISHED))]
