"""Sorts a published checkpoint into our parts and derives its configuration from the tensors' shapes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from find.errors import CheckpointError
from find.foundations.focal import MEAN, Flavour, FocalConfig
from find.integrations.official.key_map import Destination, Part, destination
from find.model.config import Conventions, FINDConfig, InterfaceConfig

CLASS_PROMPT = "Describe the concept of {}."
CONVENTIONS = Conventions(
    memories=32,
    image_from_objects=True,
    corner_aligned_points=True,
    dot_products=True,
    regions_by_pixel=True,
    class_scale_limit=None,
    bicubic_masks=True,
    canvas_colour=MEAN,
    places_in_values=False,
    pairs_before_things=True,
)
"""Of both published models (reference sections 4, 8, 9, 10)."""


@dataclass(frozen=True)
class Unwritten:
    """Settings that no tensor's shape determines; the defaults are those of both published models.

    Args:
        heads: of all attention.
        region_points: of all regions of an image together, a level.
        feature_layer: which of LLaMA's hidden states is read, as in its tuple (embeddings first, norm last).
    """

    heads: int = 8
    region_points: int = 512
    feature_layer: int = -12

    def block(self, blocks: int) -> int:
        """The index of the LLaMA block whose output is read."""
        block = self.feature_layer % (blocks + 1)
        if not 0 < block < blocks:
            raise CheckpointError(f"feature layer {self.feature_layer} of a LLaMA of {blocks} blocks is not inside it")
        return block


@dataclass(frozen=True)
class Published:
    """A published state dict, sorted by part under our names; `left_out` says why, by published name."""

    interface: dict[str, Tensor]
    backbone: dict[str, Tensor]
    language: dict[str, Tensor]
    left_out: dict[str, str]
    origins: dict[str, Destination]  # by our names, to report a tensor by its published one
    source: str

    @classmethod
    def sort(cls, state: Mapping[str, Tensor], *, source: str) -> Published:
        """Raises FindError if a name is not of a published FIND."""
        parts: dict[Part, dict[str, Tensor]] = {part: {} for part in Part}
        origins: dict[str, Destination] = {}
        left_out: dict[str, str] = {}
        unknown: list[str] = []
        for name, tensor in state.items():
            place = destination(name)
            if place is None:
                unknown.append(name)
            elif place.part is Part.LEFT_OUT:
                left_out[name] = place.name
            else:
                parts[place.part][place.name] = place.change(tensor if place.part is Part.LANGUAGE else tensor.float())
                origins[place.name] = place
        if unknown:
            raise CheckpointError(
                f"{source} is not a published FIND checkpoint: {len(unknown)} of its {len(state)} tensors have names "
                f"that FIND does not have, such as {', '.join(sorted(unknown)[:3])}"
            )
        return cls(parts[Part.INTERFACE], parts[Part.BACKBONE], parts[Part.LANGUAGE], left_out, origins, source)

    def focal_config(self) -> FocalConfig:
        """The backbone's sizes."""
        stages = _count("stages", self.backbone)
        depths = tuple(_count(f"stages.{stage}", self.backbone) for stage in range(stages))
        contexts = [f"stages.{stage}.0.modulation.contexts" for stage in range(stages)]
        width = self._shape(self.backbone, "norms.0.weight")[0]
        return FocalConfig(
            flavour=Flavour.DEPTHWISE if "stages.0.0.dw1.weight" in self.backbone else Flavour.PLAIN,
            width=width,
            depths=depths,
            levels=tuple(_count(name, self.backbone) for name in contexts),
            windows=tuple(self._shape(self.backbone, f"{name}.0.weight")[-1] for name in contexts),
            mlp_ratio=self._shape(self.backbone, "stages.0.0.mlp.0.weight")[0] / width,
        )

    def config(self, *, vision: str, language: str, language_dtype: str, unwritten: Unwritten) -> FINDConfig:
        """The complete model's configuration."""

        def shape(name: str) -> tuple[int, ...]:
            return self._shape(self.interface, name)

        width = shape("heads.norm.weight")[0]
        sizes = InterfaceConfig(
            width=width,
            heads=unwritten.heads,
            feedforward=shape("layers.0.linear1.weight")[0],
            layers=_count("layers", self.interface),
            queries=shape("query_features")[0],
            semantic_width=width,  # words enter the stack and leave it in one space
            mask_width=shape("pixel_decoder.mask_features.weight")[0],
            decoder_width=shape("pixel_decoder.input_proj.weight")[0],
            decoder_layers=_count("pixel_decoder.encoder", self.interface),
            region_points=unwritten.region_points,
            residual=False,
        )
        if width % unwritten.heads:
            raise CheckpointError(
                f"{unwritten.heads} heads do not divide the width {width}; give the model's own (--heads)"
            )
        conventions = replace(CONVENTIONS, memories=shape("memories.features")[0])
        return FINDConfig(
            vision=vision,
            language=language,
            interface=sizes,
            conventions=conventions,
            class_prompt=CLASS_PROMPT,
            language_dtype=language_dtype,
        )

    def check(
        self, tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor], *, computed: frozenset[str] = frozenset()
    ) -> None:
        """Rejects anything but a tensor of the right shape for every required name (except those computed later).

        Raises FindError that names the published key and both shapes.
        """
        problems = [f"nothing becomes {name}" for name in sorted(wanted.keys() - tensors.keys() - computed)]
        problems += [f"{self.origins[name].source} has no place" for name in sorted(tensors.keys() - wanted.keys())]
        for name in sorted(tensors.keys() & wanted.keys()):
            origin, is_now, should_be = self.origins[name], tensors[name].shape, wanted[name].shape
            if is_now != should_be:
                before = [tuple(origin.change(torch.empty(s, device="meta")).shape) for s in (is_now, should_be)]
                problems.append(f"{origin.source} is {before[0]}, must be {before[1]}")
        if problems:
            more = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
            raise CheckpointError(f"{self.source} is not a complete FIND checkpoint: {'; '.join(problems[:5])}{more}")

    def _shape(self, tensors: Mapping[str, Tensor], name: str) -> tuple[int, ...]:
        if name not in tensors:
            raise CheckpointError(
                f"{self.source} is not a complete FIND checkpoint: it has no tensor for {name}; it may be a file "
                "of another model (SEEM, X-Decoder) or only a part of one"
            )
        return tuple(tensors[name].shape)


def _count(prefix: str, names: Mapping[str, Tensor]) -> int:
    """The number of indices after a prefix."""
    dots = prefix.count(".") + 1
    return len({name.split(".")[dots] for name in names if name.startswith(prefix + ".")})
