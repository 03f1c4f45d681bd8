"""Interactive segmentation: segment proposals matched with spatial queries, which read the strokes of a user."""

from dataclasses import replace

from jaxtyping import Bool, Float
from torch import Tensor

from find.interface import Group, ImageMemory, Interface, Member, Prompt, Prototype, Slots, Start
from find.tasks.prompted import PromptedTask, Space
from find.tasks.regions import own_rows

PROTOTYPE = Prototype(
    (
        Member(
            Group.SEGMENT,
            Start.OBJECT_QUERIES,
            content=Group.PIXELS,
            masked=True,
            condition=(Group.SEGMENT, Group.SPATIAL_TOKENS, Group.MEMORY),
        ),
        Member(
            Group.SPATIAL,
            Start.IMAGE_QUERY,
            content=Group.SPATIAL_TOKENS,
            by_index=True,
            condition=(Group.SPATIAL,),
        ),
        Member(Group.SPATIAL_TOKENS, Start.SAMPLES, predicts=False),
    )
)
MEMORY = Prototype(
    (
        Member(
            Group.MEMORY,
            Start.MEMORIES,
            content=Group.PIXELS,
            masked=True,
            condition=(Group.MEMORY,),
            predicts=False,
        ),
    )
)
"""Memories of the last answer, for interfaces that have them: they look into its mask, and proposals see them."""
TASK = PromptedTask("interactive", Group.SEGMENT, Group.SPATIAL, Space.PIXEL)


def see_queries(prototype: Prototype) -> Prototype:
    """The variant in which segment proposals see the spatial queries instead of the sampled points.

    The published FIND trains 30 % of its steps with it.
    """
    swap = {Group.SPATIAL_TOKENS: Group.SPATIAL}
    return Prototype(
        tuple(
            replace(member, condition=tuple(swap.get(group, group) for group in member.condition))
            if member.group is Group.SEGMENT
            else member
            for member in prototype.members
        )
    )


def prompt(
    interface: Interface,
    memory: ImageMemory,
    strokes: Bool[Tensor, "b r h w"],
    padding: Bool[Tensor, "b r"],
    *,
    negatives: Bool[Tensor, "b r h w"] | None = None,
    previous: Float[Tensor, "b _ h w"] | None = None,
) -> Prompt:
    """Strokes on the canvas of their own image; `negatives` mark what each answer must leave out.

    `previous`: mask logits of the last round, for an interface with memories; one mask for all memories, or one each.
    """
    samples = interface.sampler(memory, strokes, own_rows(padding), negatives=negatives)
    return Prompt(
        PROTOTYPE if previous is None else PROTOTYPE + MEMORY,
        samples={Group.SPATIAL_TOKENS: samples},
        slots={Group.SPATIAL: Slots.of(padding)},
        masks={} if previous is None else {Group.MEMORY: previous},
    )
