"""An untrained interface from a config and what the foundations give."""

from collections.abc import Sequence

from find.errors import CheckpointError
from find.foundations.base import VisionEncoder, only_side
from find.interface import (
    LEVELS,
    STRIDES,
    CornerAlignedSampler,
    EntityTagger,
    FeaturePyramid,
    Interface,
    MatchHead,
    PairTerm,
    PixelDecoder,
    is_pyramid,
)
from find.model.config import FINDConfig


def build_interface(
    config: FINDConfig,
    *,
    channels: Sequence[int],
    strides: Sequence[float] = STRIDES,
    text_width: int,
    pooled_width: int | None,
) -> Interface:
    """An untrained interface between foundations of these widths.

    Where the vision encoder's maps have other strides than 4, 8, 16 and 32, it begins with a pyramid.
    """
    sizes, conventions = config.interface, config.conventions
    pyramid = None if is_pyramid(strides) else FeaturePyramid(channels=channels, strides=strides)
    decoder = PixelDecoder(
        channels=channels if pyramid is None else pyramid.channels,
        pyramid=pyramid,
        width=sizes.decoder_width,
        mask_width=sizes.mask_width,
        layers=sizes.decoder_layers,
        heads=sizes.heads,
        feedforward=sizes.feedforward,
    )
    sampler = None
    if conventions.corner_aligned_points:
        sampler = CornerAlignedSampler(width=sizes.width, levels=LEVELS, points=sizes.region_points)
    pair_term = None
    if sizes.pair_width:
        pair_term = PairTerm(text_width=text_width, semantic_width=sizes.semantic_width, width=sizes.pair_width)
    tagger = EntityTagger(text_width=text_width, width=sizes.tagger_width) if sizes.tagger_width else None
    match_head = None
    if sizes.match_width:
        match_head = MatchHead(semantic_width=sizes.semantic_width, width=sizes.match_width)
    return Interface(
        pixel_decoder=decoder,
        text_width=text_width,
        width=sizes.width,
        heads=sizes.heads,
        feedforward=sizes.feedforward,
        layers=sizes.layers,
        queries=sizes.queries,
        semantic_width=sizes.semantic_width,
        region_points=sizes.region_points,
        pooled_width=pooled_width,
        sampler=sampler,
        memories=conventions.memories,
        image_from_objects=conventions.image_from_objects,
        class_scale_limit=conventions.class_scale_limit,
        places_in_values=conventions.places_in_values,
        pair_term=pair_term,
        tagger=tagger,
        match_head=match_head,
    )


def check_sides(config: FINDConfig, vision: VisionEncoder) -> None:
    """Refuses pictures larger than the only size that an encoder takes."""
    only = only_side(vision)
    if only is not None and config.longest_side > only:
        raise CheckpointError(
            f"vision encoder {config.vision} takes images of {only}x{only} pixels only, but longest_side is "
            f"{config.longest_side}; set shortest_side and longest_side to {only}, or choose an encoder of any size"
        )
