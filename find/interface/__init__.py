"""The interface: the trainable part of FIND."""

from find.interface.corner_sampler import CornerAlignedSampler
from find.interface.feature_pyramid import STRIDES, FeaturePyramid, is_pyramid
from find.interface.interface import LEVELS, Interface
from find.interface.match_head import MatchHead, object_numbers
from find.interface.pair_term import PairTerm
from find.interface.pixel_decoder import PixelDecoder
from find.interface.prototype import Member, Prompt, Prototype, Start
from find.interface.sampler import VisualSampler
from find.interface.tagger import EntityTagger
from find.interface.types import Embeddings, Group, GroupName, ImageMemory, Outputs, Slots, Tokens

__all__ = [
    "LEVELS",
    "STRIDES",
    "CornerAlignedSampler",
    "Embeddings",
    "EntityTagger",
    "FeaturePyramid",
    "Group",
    "GroupName",
    "ImageMemory",
    "Interface",
    "MatchHead",
    "Member",
    "Outputs",
    "PairTerm",
    "PixelDecoder",
    "Prompt",
    "Prototype",
    "Slots",
    "Start",
    "Tokens",
    "VisualSampler",
    "is_pyramid",
    "object_numbers",
]
