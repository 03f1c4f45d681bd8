"""The interface: the trainable transformer that puts frozen vision and language models into one space."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from find.interface.attention import GroupState, InterfaceLayer, Pixels
from find.interface.heads import FoundationResidual, Heads, image_from_objects, mean_inside
from find.interface.match_head import MatchHead
from find.interface.mixed_sizes import is_inside
from find.interface.pair_term import PairTerm
from find.interface.pixel_decoder import PixelDecoder
from find.interface.positions import sine_positions
from find.interface.prototype import Member, Prompt, Start
from find.interface.sampler import VisualSampler, mean_under
from find.interface.tagger import EntityTagger
from find.interface.types import AlignedMap, Embeddings, Group, GroupName, ImageMemory, Outputs, Tokens

LEVELS = 3
"""How many of the pixel decoder's maps the layers attend to in turn, coarse to fine."""


class Memories(nn.Module):
    """Learned tokens that carry an answered mask into the next round of interactive segmentation."""

    def __init__(self, *, count: int, width: int) -> None:
        super().__init__()
        self.features = nn.Parameter(torch.randn(count, width))
        self.positions = nn.Parameter(torch.randn(count, width))


class Interface(nn.Module):
    """Everything between the frozen foundations and the predictions.

    It has two independent halves: object proposals and the image query attend to no prompt, and the queries made of
    words and regions attend to no target image. So `forward(memory, [objects])` and `forward(None, [query])` equal
    the joint forward, and either result may be cached.

    Args:
        pixel_decoder: turns the vision encoder's maps into levels and mask features.
        text_width: of the language encoder's tokens.
        width, heads, feedforward, layers: of the attention stack.
        queries: learned queries; the last one is the image query, the others are object proposals.
        semantic_width, mask_width: of the two output spaces.
        region_points: samples per region and level.
        pooled_width: of the foundations' own embeddings of images and texts, if they share a space.
        sampler: how regions are read, if not by a `VisualSampler` of `region_points`.
        memories: spatial memories, for rounds of interactive segmentation (the published FIND: 32).
        image_from_objects: read the image's embeddings off a weighted sum of its objects (the published FIND).
        class_scale_limit: upper limit of the scale of class logits; None: no limit (the published FIND).
        places_in_values: add positions to the values of pixels; in the published FIND only keys have them.
        pair_term: scores the words between entities for pairs of objects; not part of the stack.
        tagger: finds the entities of plain sentences; not part of the stack.
        match_head: predicts the probability that an object matches an entity; not part of the stack, no
            gradient flows from it into the embeddings.
    """

    def __init__(
        self,
        *,
        pixel_decoder: PixelDecoder,
        text_width: int,
        width: int = 512,
        heads: int = 8,
        feedforward: int = 2048,
        layers: int = 9,
        queries: int = 101,
        semantic_width: int = 512,
        region_points: int = 128,
        pooled_width: int | None = None,
        sampler: VisualSampler | None = None,
        memories: int = 0,
        image_from_objects: bool = False,
        class_scale_limit: float | None = 100.0,
        places_in_values: bool = True,
        pair_term: PairTerm | None = None,
        tagger: EntityTagger | None = None,
        match_head: MatchHead | None = None,
    ) -> None:
        super().__init__()
        self.width = width
        self.image_from_objects = image_from_objects
        self.class_scale_limit = class_scale_limit
        self.places_in_values = places_in_values
        self.pixel_decoder = pixel_decoder
        mask_width = pixel_decoder.mask_features.out_channels
        same_width = pixel_decoder.width == width
        self.level_projections = nn.ModuleList(
            nn.Identity() if same_width else nn.Linear(pixel_decoder.width, width) for _ in range(LEVELS)
        )
        self.level_embed = nn.Parameter(torch.randn(LEVELS, width))
        self.sampler = sampler or VisualSampler(width=width, levels=LEVELS, points=region_points)
        self.query_features = nn.Parameter(torch.randn(queries, width))
        self.query_positions = nn.Parameter(torch.randn(queries, width))
        self.memories = Memories(count=memories, width=width) if memories else None
        self.text_projection = nn.Linear(text_width, width, bias=False)
        nn.init.trunc_normal_(self.text_projection.weight, std=text_width**-0.5)
        self.layers = nn.ModuleList(
            InterfaceLayer(width=width, heads=heads, feedforward=feedforward) for _ in range(layers)
        )
        self.heads = Heads(width=width, semantic_width=semantic_width, mask_width=mask_width)
        self.residual = (
            FoundationResidual(pooled_width=pooled_width, semantic_width=semantic_width) if pooled_width else None
        )
        self.background = nn.Parameter(torch.randn(semantic_width))
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        self.pair_term = pair_term
        self.tasks = nn.ModuleDict()  # tasks with parameters of their own, which a model adds
        self.tagger = tagger
        self.match_head = match_head

    # --- from foundations to tokens -------------------------------------------------------------------------------

    def encode_image(
        self,
        maps: Sequence[Float[Tensor, "b _ _ _"]],
        pooled: Float[Tensor, "b v"] | None = None,
        aligned: Float[Tensor, "b v h w"] | None = None,
    ) -> ImageMemory:
        """The image memory of the vision encoder's maps (fine to coarse), and of its features in the text space."""
        pixels = self.pixel_decoder(maps)
        memory = self.memory_of_levels(pixels.levels[:LEVELS], pixels.mask_features, pooled)
        if aligned is None or self.residual is None:
            return memory
        return replace(memory, aligned=align_map(aligned.permute(0, 2, 3, 1), pixels.mask_features))

    def memory_of_levels(
        self,
        maps: Sequence[Float[Tensor, "b _ _ _"]],
        mask_features: Float[Tensor, "b m h w"],
        pooled: Float[Tensor, "b v"] | None = None,
    ) -> ImageMemory:
        """The image memory of the pixel decoder's levels (coarse to fine) and mask features."""
        levels = [
            projection(level.flatten(2).transpose(1, 2).contiguous()).unflatten(1, level.shape[-2:])
            for level, projection in zip(maps, self.level_projections, strict=True)
        ]
        return self.memory_of_projected_levels(levels, mask_features, pooled)

    def memory_of_projected_levels(
        self,
        levels: Sequence[Float[Tensor, "b _ _ c"]],
        mask_features: Float[Tensor, "b m h w"],
        pooled: Float[Tensor, "b v"] | None = None,
    ) -> ImageMemory:
        """The image memory of levels (coarse to fine) that have the interface's width."""
        shapes = tuple((level.shape[1], level.shape[2]) for level in levels)
        flat = tuple(level.flatten(1, 2) for level in levels)
        positions = tuple(sine_positions(h, w, self.width, device=flat[0].device).to(flat[0].dtype) for h, w in shapes)
        # Masks are linear in the mask features, so resizing these once equals resizing every proposal's mask.
        attention_features = tuple(_resized(mask_features, shape) for shape in shapes)
        return ImageMemory(flat, self.level_embed, positions, shapes, mask_features, attention_features, pooled)

    def project(self, memory: ImageMemory) -> ImageMemory:
        """The memory with precomputed keys and values of each layer, for images that get many prompts. It doubles the
        memory's size and halves the work of a prompt."""
        placed = memory.placed()
        seen = placed if self.places_in_values else memory.levels
        projected = []
        for number, layer in enumerate(self.layers):
            level = number % LEVELS
            assert isinstance(layer, InterfaceLayer)
            projected.append(layer.project(placed[level], seen[level]))
        return replace(memory, projected=tuple(projected))

    def project_text_tokens(
        self, tokens: Float[Tensor, "b l t"], padding: Bool[Tensor, "b l"], index: Int[Tensor, "b l"] | None = None
    ) -> Tokens:
        """A language encoder's token features, of any floating type, projected to the interface's width."""
        if index is None:
            index = torch.full(padding.shape, -1, device=padding.device)
        return Tokens(self.text_projection(tokens.to(self.text_projection.weight.dtype)), padding, index)

    def mark_regions(self, tokens: Tokens, is_region: Bool[Tensor, "b l"]) -> Tokens:
        """Adds the image query to the placeholder words that stand for a region (to values and positions)."""
        mark = is_region[..., None].to(tokens.values.dtype)
        return replace(
            tokens,
            values=tokens.values + mark * self.query_features[-1],
            positions=tokens.values + mark * self.query_positions[-1],
        )

    # --- the stack ------------------------------------------------------------------------------------------------

    def forward(self, memory: ImageMemory | None, prompts: Sequence[Prompt], *, deep: bool = False) -> Outputs:
        """Runs the stack for the groups of all prompts together.

        Args:
            memory: of the images; None if no prompt's group reads pixels.
            prompts: one per task; tasks that share groups have one prompt with the sum of their prototypes.
            deep: also give the semantic and pixel embeddings before every layer.
        """
        prompt = Prompt.join(prompts)
        members = prompt.prototype.members
        readers = [m for m in members if m.content is Group.PIXELS]
        if readers and memory is None:
            raise ValueError(f"{readers[0].group.value} read pixels, but no image memory was given")
        states = {m.group: self._start(m, prompt, memory) for m in members if m.start is not Start.SAMPLES}
        predicting = [m.group for m in members if m.predicts]
        updated = frozenset(states)
        placed = memory.placed() if memory is not None and readers else ()
        predictions: list[Embeddings] = []
        for number, layer in enumerate(self.layers):
            level = number % LEVELS
            if deep:
                predictions.append(self._predict(states, predicting, prompt, memory))
            pixels = None
            if memory is not None and readers:
                visible = self._visible(
                    states,
                    readers,
                    memory.attention_features[level],
                    memory.shapes[level],
                    predictions[-1] if deep else None,
                    prompt.masks,
                )
                if memory.extents is not None:
                    visible = _own_pixels(visible, memory.extents.levels[level], memory.shapes[level])
                values = placed[level] if self.places_in_values else memory.levels[level]
                projected = memory.projected[number] if memory.projected else None
                pixels = Pixels(placed[level], values, memory.level_embed[level], visible, projected)
            sampled = {group: _token_state(levels[level]) for group, levels in prompt.samples.items()}
            last = number == len(self.layers) - 1
            states = layer(states | sampled, members, pixels, frozenset(predicting) if last else updated)
        predictions.append(self._predict(states, predicting, prompt, memory))
        return Outputs(tuple(predictions))

    def aligned_regions(
        self, memory: ImageMemory, masks: Bool[Tensor, "q r h w"], rows: Int[Tensor, "q r"]
    ) -> Float[Tensor, "q r v"] | None:
        """The vision encoder's own embeddings of regions, in the space of texts; None where it has none.

        Takes what the sampler takes.
        """
        if memory.aligned is None:
            return None
        return mean_under(memory.aligned, masks, rows, points=self.sampler.points, extents=memory.extents)

    def similarity(
        self, a: Float[Tensor, "b n d"], b: Float[Tensor, "b k d"], *, limit: float | None = 100.0
    ) -> Float[Tensor, "b n k"]:
        """Cosines times the learned temperature, at most `limit`; in float32 also under autocast.

        At a temperature of 100 the rounding of bfloat16 would move a logit by a quarter.
        """
        with torch.autocast(a.device.type, enabled=False):
            scale = self.logit_scale.exp()
            if limit is not None:
                scale = scale.clamp(max=limit)
            return scale * F.normalize(a.float(), dim=-1) @ F.normalize(b.float(), dim=-1).mT

    def _start(self, member: Member, prompt: Prompt, memory: ImageMemory | None) -> GroupState:
        if member.start is Start.TOKENS:
            return _token_state(prompt.tokens[member.group])
        batch = memory.batch if memory is not None else next(iter(prompt.tokens.values())).values.shape[0]
        if member.start is Start.OBJECT_QUERIES:
            return self._learned(slice(0, -1), batch, len(self.query_features) - 1)
        if member.start is Start.MEMORIES:
            if self.memories is None:
                raise ValueError(f"{member.group.value}: this interface was built without memories")
            features, positions = self.memories.features, self.memories.positions
            return GroupState(features.expand(batch, -1, -1), positions.expand(batch, -1, -1))
        slots = prompt.slots.get(member.group)
        if slots is None:
            return self._learned(slice(-1, None), batch, 1)
        state = self._learned(slice(-1, None), batch, slots.padding.shape[1])
        return replace(state, padding=slots.padding, index=slots.index)

    def _learned(self, rows: slice, batch: int, members: int) -> GroupState:
        return GroupState(
            self.query_features[rows].expand(batch, members, -1), self.query_positions[rows].expand(batch, members, -1)
        )

    def _predict(
        self,
        states: dict[GroupName, GroupState],
        groups: Sequence[GroupName],
        prompt: Prompt,
        memory: ImageMemory | None,
    ) -> Embeddings:
        sizes = [states[group].values.shape[1] for group in groups]
        x = self.heads.norm(torch.cat([states[group].values for group in groups], dim=1))
        if self.image_from_objects and Group.IMAGE in groups:
            pieces = dict(zip(groups, x.split(sizes, dim=1), strict=True))
            pieces[Group.IMAGE] = image_from_objects(pieces[Group.IMAGE], pieces[Group.OBJECT])
            x = torch.cat(list(pieces.values()), dim=1)
        semantic = self.heads.semantic(x).split(sizes, dim=1)
        pixel = self.heads.pixel(x).split(sizes, dim=1)
        embeddings = Embeddings(dict(zip(groups, semantic, strict=True)), dict(zip(groups, pixel, strict=True)))
        if self.residual is not None:
            for group, own in self._foundation(embeddings, prompt, memory).items():
                embeddings.semantic[group] = self.residual(embeddings.semantic[group], own)
        return embeddings

    def _foundation(
        self, embeddings: Embeddings, prompt: Prompt, memory: ImageMemory | None
    ) -> dict[GroupName, Float[Tensor, "b n v"]]:
        """The foundations' own embeddings of each group's members, where they have them."""
        own = {group: given for group, given in prompt.foundation.items() if group in embeddings.semantic}
        if memory is not None and memory.pooled is not None and Group.IMAGE in embeddings.semantic:
            own[Group.IMAGE] = memory.pooled[:, None]
        if memory is not None and memory.aligned is not None:
            for member in prompt.prototype.members:
                if member.start is Start.OBJECT_QUERIES and member.content is Group.PIXELS:
                    own[member.group] = mean_inside(embeddings.pixel[member.group], memory.aligned)
        return own

    def _visible(
        self,
        states: dict[GroupName, GroupState],
        readers: Sequence[Member],
        features: Float[Tensor, "b m p"],
        shape: tuple[int, int],
        prediction: Embeddings | None,
        given: Mapping[GroupName, Float[Tensor, "b _ _ _"]],
    ) -> Bool[Tensor, "b n p"]:
        """A masked row sees the pixels inside its own predicted mask, all of them if it has none.

        Not under `no_grad`: autocast may keep the head's weights as it cast them here first, and for `_predict`, too,
        they would then be without a gradient (torch 2.10). The comparison below ends the graph anyway.
        """
        rows = []
        for member in readers:
            if not member.masked:
                values = states[member.group].values
                rows.append(torch.ones((*values.shape[:2], features.shape[2]), dtype=torch.bool, device=values.device))
                continue
            if member.group in given:
                logits = F.interpolate(given[member.group], size=shape, mode="bilinear", align_corners=False)
                logits = logits.flatten(2).expand(-1, states[member.group].values.shape[1], -1)
            elif prediction is not None:
                logits = prediction.pixel[member.group] @ features
            else:
                logits = self.heads.pixel(self.heads.norm(states[member.group].values)) @ features
            inside = logits >= 0
            rows.append(inside | ~inside.any(dim=-1, keepdim=True))
        return torch.cat(rows, dim=1)


def align_map(aligned: Float[Tensor, "b h w v"], mask_features: Float[Tensor, "b m _ _"]) -> AlignedMap:
    """The vision encoder's features in the space of its texts, with mask features at their size."""
    shape = (aligned.shape[1], aligned.shape[2])
    return AlignedMap(aligned.flatten(1, 2), shape, _resized(mask_features, shape))


def _resized(mask_features: Float[Tensor, "b m h w"], shape: tuple[int, int]) -> Float[Tensor, "b m p"]:
    """Bilinear, half a pixel's shift; of an even shrink that is the mean of the four pixels around each centre."""
    x = mask_features.detach()
    step = x.shape[-2] // shape[0]
    if torch.compiler.is_exporting() or step % 2 or (step * shape[0], step * shape[1]) != x.shape[-2:]:
        return F.interpolate(x, size=shape, mode="bilinear", align_corners=False).flatten(2)
    near, far = step // 2 - 1, step // 2
    rows = x[..., near::step, :] + x[..., far::step, :]
    return ((rows[..., near::step] + rows[..., far::step]) / 4).flatten(2)


def _own_pixels(
    visible: Bool[Tensor, "b n p"], sizes: Int[Tensor, "b 2"], shape: tuple[int, int]
) -> Bool[Tensor, "b n p"]:
    """Masks out pixels beyond the image; keeps the mask if nothing would be left."""
    own = is_inside(sizes, shape)[:, None]
    visible = visible & own
    return visible | (own & ~visible.any(dim=-1, keepdim=True))


def _token_state(tokens: Tokens) -> GroupState:
    positions = tokens.values.detach() if tokens.positions is None else tokens.positions
    return GroupState(tokens.values, positions, tokens.padding, tokens.index)
