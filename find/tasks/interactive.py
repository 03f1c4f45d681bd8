"""Interactive segmentation: segment proposals matched with spatial queries, which read the strokes of a user."""

from jaxtyping import Bool
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
            condition=(Group.SEGMENT, Group.SPATIAL_TOKENS),
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
TASK = PromptedTask("interactive", Group.SEGMENT, Group.SPATIAL, Space.PIXEL)


def prompt(
    interface: Interface,
    memory: ImageMemory,
    strokes: Bool[Tensor, "b r h w"],
    padding: Bool[Tensor, "b r"],
    *,
    negatives: Bool[Tensor, "b r h w"] | None = None,
) -> Prompt:
    """Strokes on the canvas of their own image; `negatives` mark what each answer must leave out."""
    samples = interface.sampler(memory, strokes, own_rows(padding), negatives=negatives)
    return Prompt(PROTOTYPE, samples={Group.SPATIAL_TOKENS: samples}, slots={Group.SPATIAL: Slots.of(padding)})
