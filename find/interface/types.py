"""What travels through the interface: groups of tokens, image memories, prompts' tensors, and the two embeddings.

Shape legend, used in the whole package:
    b batch · n members of a group · l text or visual tokens · c interface width · d semantic width · m mask width
    h, w rows and columns of a map · p pixels of a flattened map · e entities · r regions · t texts
    s segments · q queries
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


class GroupName(Enum):
    """Names of groups. A task of another package names groups of its own in an enumeration below this one; their values
    are what messages call them."""


class Group(GroupName):
    """A named set of tokens in the stack (design: proposals, queries, tokens); PIXELS stands for the image memory."""

    PIXELS = "pixels"
    # proposals: learned, look at the image, become masks
    OBJECT = "object proposals"
    GROUNDING = "grounding proposals"
    SEGMENT = "segment proposals"
    ENTITY = "entity proposals"
    # queries: what proposals and images are compared with
    IMAGE = "image query"
    CAPTION = "caption query"
    DESCRIPTION = "description queries"
    SPATIAL = "spatial queries"
    INTERLEAVED = "interleaved query"
    INTERLEAVED_ENTITY = "entity queries"
    # tokens: words, and visual features sampled under a region
    CAPTION_TOKENS = "caption tokens"
    DESCRIPTION_TOKENS = "description tokens"
    SPATIAL_TOKENS = "spatial tokens"
    REGION_TOKENS = "region tokens"
    INTERLEAVED_TOKENS = "interleaved tokens"
    # memories: learned, look into the mask that was answered before
    MEMORY = "spatial memories"


@dataclass(frozen=True)
class Tokens:
    """A padded batch of token sequences.

    `index` says which text, region or entity a token belongs to (-1: none); attention "by index" compares it.
    `positions` are added to `values` in attention's queries and keys; without them, a detached copy of `values` is.
    """

    values: Float[Tensor, "*b l c"]
    padding: Bool[Tensor, "*b l"]
    index: Int[Tensor, "*b l"]
    positions: Float[Tensor, "*b l c"] | None = None

    @staticmethod
    def concatenate(parts: "list[Tokens]") -> "Tokens":
        """Joins sequences of the same batch along their length."""
        return Tokens(
            torch.cat([part.values for part in parts], dim=1),
            torch.cat([part.padding for part in parts], dim=1),
            torch.cat([part.index for part in parts], dim=1),
        )


@dataclass(frozen=True)
class Slots:
    """How many queries of a group each batch row asks for: `index` is what each reads, padding marks unused ones."""

    index: Int[Tensor, "b n"]
    padding: Bool[Tensor, "b n"]

    @staticmethod
    def of(padding: Bool[Tensor, "b n"]) -> "Slots":
        """Query number k reads the tokens of index k."""
        number = torch.arange(padding.shape[1], device=padding.device)
        return Slots(number.expand_as(padding), padding)


@dataclass(frozen=True)
class AlignedMap:
    """The vision encoder's features in the space of its texts, and the mask features at their size."""

    values: Float[Tensor, "b p v"]
    shape: tuple[int, int]
    mask_features: Float[Tensor, "b m p"]
    visible: Bool[Tensor, "b p"] | None = None  # which places are the image's own; None: all


@dataclass(frozen=True)
class Extents:
    """How much of the common canvas and of each map is an image's own, rows and columns; the rest is padding, zeros."""

    canvas: Float[Tensor, "b 2"]  # as a share
    levels: tuple[Int[Tensor, "b 2"], ...]
    mask_features: Int[Tensor, "b 2"]
    aligned: Int[Tensor, "b 2"] | None


@dataclass(frozen=True)
class ImageMemory:
    """What the interface keeps of an image: three levels to attend to (coarse to fine) and a map to draw masks on."""

    levels: tuple[Float[Tensor, "b _ c"], ...]
    level_embed: Float[Tensor, "_ c"]  # what is to be added to each level; apart from it for its gradient's sake
    positions: tuple[Float[Tensor, "... _ c"], ...]
    shapes: tuple[tuple[int, int], ...]
    mask_features: Float[Tensor, "b m h w"]
    attention_features: tuple[Float[Tensor, "b m _"], ...]  # mask_features at the size of each level
    pooled: Float[Tensor, "b v"] | None  # the vision encoder's own image embedding, where it has one
    aligned: AlignedMap | None = None  # its own embeddings of places, where it has them
    projected: tuple[
        tuple[Float[Tensor, "b heads _ k"], Float[Tensor, "b heads _ k"]], ...
    ] = ()  # keys and values of the
    # pixels that each layer reads, where they are kept for further prompts (`Interface.project`)
    extents: Extents | None = None  # of images that differ in size (`mixed_sizes.concat_memories`); else each has all

    @property
    def batch(self) -> int:
        """The number of images."""
        return self.mask_features.shape[0]

    @property
    def nbytes(self) -> int:
        """Size of all tensors in bytes."""
        return sum(x.nbytes for x in (*self._of_images(), self.level_embed, *self.positions))

    def rows(self, start: int, stop: int) -> "ImageMemory":
        """The memory of some of the images, which shares its values with this one."""
        return self._with([x[start:stop] for x in self._of_images()])

    @staticmethod
    def concatenate(parts: "Sequence[ImageMemory]") -> "ImageMemory":
        """The memory of the images of several, a copy; all have the same canvas and the same model."""
        return parts[0]._with([torch.cat(same) for same in zip(*(part._of_images() for part in parts), strict=True)])

    def unprojected(self) -> "ImageMemory":
        """Without the keys and values that are kept for further prompts."""
        return replace(self, projected=())

    def to(self, device: torch.device | str) -> "ImageMemory":
        """The same memory on another device."""
        moved = self._with([x.to(device) for x in self._of_images()])
        positions = tuple(x.to(device) for x in self.positions)
        return replace(moved, level_embed=self.level_embed.to(device), positions=positions)

    def _of_images(self) -> list[Tensor]:
        """The tensors that have a row for each image."""
        found = [*self.levels, self.mask_features, *self.attention_features]
        found += [] if self.pooled is None else [self.pooled]
        found += [] if self.aligned is None else [self.aligned.values, self.aligned.mask_features]
        return found + [x for pair in self.projected for x in pair]

    def _with(self, tensors: Sequence[Tensor]) -> "ImageMemory":
        """With these in the place of those that `_of_images` gives."""
        given = iter(tensors)
        levels, mask_features = tuple(next(given) for _ in self.levels), next(given)
        attention_features = tuple(next(given) for _ in self.attention_features)
        pooled = None if self.pooled is None else next(given)
        aligned = self.aligned
        if aligned is not None:
            aligned = replace(aligned, values=next(given), mask_features=next(given))
        return replace(
            self,
            levels=levels,
            mask_features=mask_features,
            attention_features=attention_features,
            pooled=pooled,
            aligned=aligned,
            projected=tuple((next(given), next(given)) for _ in self.projected),
        )

    def placed(self) -> tuple[Float[Tensor, "b p c"], ...]:
        """The levels with their pixels' positions added."""
        return tuple(level + positions for level, positions in zip(self.levels, self.positions, strict=True))


@dataclass(frozen=True)
class Embeddings:
    """One prediction: each group's embedding in the semantic space (for matching) and the pixel space (for masks)."""

    semantic: dict[GroupName, Float[Tensor, "b _ d"]]
    pixel: dict[GroupName, Float[Tensor, "b _ m"]]

    def float(self) -> "Embeddings":
        """In float32, as losses and similarities want them."""
        return Embeddings(
            {group: values.float() for group, values in self.semantic.items()},
            {group: values.float() for group, values in self.pixel.items()},
        )


@dataclass(frozen=True)
class Outputs:
    """The predictions of a forward, the final one last; before it, if asked for, those of the initial queries and of
    every layer but the last (for deep supervision)."""

    layers: tuple[Embeddings, ...]

    @property
    def final(self) -> Embeddings:
        """The embeddings after the last layer."""
        return self.layers[-1]
