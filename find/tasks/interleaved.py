"""Interleaved segmentation and retrieval: sentences in which words and regions stand for things.

The interleaved tokens are the sentence's words, a placeholder word for each region; each placeholder reads the visual
tokens of its region. Entity queries read the tokens of their entity, the interleaved query reads them all.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from find.interface import Group, GroupName, Interface, Member, Prompt, Prototype, Slots, Start, Tokens
from find.tasks.prompted import PromptedTask, Space

_TOKENS = Member(
    Group.INTERLEAVED_TOKENS,
    Start.TOKENS,
    content=Group.REGION_TOKENS,
    by_index=True,
    condition=(Group.INTERLEAVED_TOKENS,),
    predicts=False,
)
_REGIONS = Member(Group.REGION_TOKENS, Start.SAMPLES, predicts=False)
_ENTITIES = Member(
    Group.INTERLEAVED_ENTITY,
    Start.IMAGE_QUERY,
    content=Group.INTERLEAVED_TOKENS,
    by_index=True,
    condition=(Group.INTERLEAVED_ENTITY,),
)
RETRIEVAL = Prototype(
    (
        _TOKENS,
        _REGIONS,
        _ENTITIES,
        Member(Group.INTERLEAVED, Start.IMAGE_QUERY, content=Group.INTERLEAVED_TOKENS, condition=(Group.INTERLEAVED,)),
    )
)
SEGMENTATION = Prototype(
    (
        _TOKENS,
        _REGIONS,
        _ENTITIES,
        Member(
            Group.ENTITY,
            Start.OBJECT_QUERIES,
            content=Group.PIXELS,
            masked=True,
            condition=(Group.ENTITY, Group.INTERLEAVED_TOKENS),
        ),
    )
)
TASK = PromptedTask("interleaved", Group.ENTITY, Group.INTERLEAVED_ENTITY, Space.SEMANTIC)


def entity_of_token(
    offsets: Int[Tensor, "q l 2"], spans: Int[Tensor, "q e 2"], padding: Bool[Tensor, "q l"]
) -> Int[Tensor, "q l"]:
    """Which entity each token belongs to: the first whose character span it touches; -1 for none.

    Empty spans (start == end) mark padding entities; special tokens have empty offsets and belong to none.
    """
    start, end = offsets[..., 0, None], offsets[..., 1, None]
    touches = (start < spans[:, None, :, 1]) & (end > spans[:, None, :, 0]) & (end > start) & ~padding[..., None]
    return torch.where(touches.any(-1), touches.int().argmax(-1), -1)


def prompt(
    interface: Interface,
    prototype: Prototype,
    tokens: Float[Tensor, "q l w"],
    padding: Bool[Tensor, "q l"],
    entities: Int[Tensor, "q l"],
    is_region: Bool[Tensor, "q e"],
    entity_padding: Bool[Tensor, "q e"],
    regions: tuple[Tokens, ...] | None,
    sentence: Float[Tensor, "q v"] | None = None,
    own: Float[Tensor, "_ _ v"] | None = None,
) -> Prompt:
    """One interleaved sentence a row.

    Args:
        prototype: RETRIEVAL, SEGMENTATION or their sum.
        tokens, padding: the language encoder's features of the sentences, regions replaced by the placeholder.
        entities: the entity of each token (`entity_of_token`).
        is_region: which entities are regions.
        regions: the sampled tokens of the regions, one entry a level, indexed by entity; None if there are none.
        sentence, own: the foundations' own embeddings of the sentences and of their entities, where they have them.
    """
    words = interface.project_text_tokens(tokens, padding, entities)
    belongs = (entities >= 0) & is_region.gather(1, entities.clamp(min=0))
    foundation: dict[GroupName, Tensor] = {} if sentence is None else {Group.INTERLEAVED: sentence[:, None]}
    if own is not None:
        foundation[Group.INTERLEAVED_ENTITY] = own
    members = prototype.members if regions else tuple(m for m in prototype.members if m is not _REGIONS)
    return Prompt(
        Prototype(members),
        tokens={Group.INTERLEAVED_TOKENS: interface.mark_regions(words, belongs)},
        samples={Group.REGION_TOKENS: regions} if regions else {},
        slots={Group.INTERLEAVED_ENTITY: Slots.of(entity_padding)},
        foundation=foundation,
    )
