"""What a FIND model is made of, in plain values that travel as YAML and JSON."""

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from find.errors import FindError


@dataclass(frozen=True)
class InterfaceConfig:
    """Sizes of the interface (defaults: the paper's).

    Args:
        width, heads, feedforward, layers: of the attention stack.
        queries: object proposals and, as the last one, the image query.
        semantic_width: of the space in which words, regions and images are compared.
        mask_width: of the space in which masks are made.
        decoder_width, decoder_layers: of the pixel decoder's pyramid and its transformer encoder.
        region_points: samples of a region at each of the three levels.
        residual: add the foundations' own image and sentence embeddings, where they share a space.
    """

    width: int = 512
    heads: int = 8
    feedforward: int = 2048
    layers: int = 9
    queries: int = 101
    semantic_width: int = 512
    mask_width: int = 512
    decoder_width: int = 512
    decoder_layers: int = 6
    region_points: int = 128
    residual: bool = True


@dataclass(frozen=True)
class FINDConfig:
    """Foundations by their specs, the interface by its sizes.

    Args:
        vision, language: specs as `find.foundations.load_vision` and `load_language` take them.
        interface: its sizes.
        shortest_side, longest_side: of a picture when it enters the vision encoder, in pixels.
        class_prompt: the text that a class name becomes.
        panoptic_score, panoptic_overlap: when a proposal becomes a panoptic segment: its least class probability, and
            the least share of its own mask that it wins from the others.
    """

    vision: str = "tiny"
    language: str = "tiny"
    interface: InterfaceConfig = field(default_factory=InterfaceConfig)
    shortest_side: int = 640
    longest_side: int = 1024
    class_prompt: str = "{}"
    panoptic_score: float = 0.8
    panoptic_overlap: float = 0.8

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, source: str) -> "FINDConfig":
        """Raises FindError for a key that is not there, naming the nearest one; `source` names the file."""
        interface = _checked(InterfaceConfig, values.get("interface", {}), source)
        return _checked(cls, {**values, "interface": interface}, source)


def _checked(kind: type, values: Mapping[str, Any], source: str) -> Any:
    names = [f.name for f in dataclasses.fields(kind)]
    for key in values:
        if key not in names:
            near = difflib.get_close_matches(key, names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it may have: {', '.join(names)}"
            raise FindError(f"{source}: unknown key {key!r}; {hint}")
    return kind(**values)
