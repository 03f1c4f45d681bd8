"""Tasks as data: a prototype says which groups a task has, what each one reads and with whom it talks (paper, 3.2)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from jaxtyping import Float
from torch import Tensor

from find.interface.types import GroupName, Slots, Tokens


class Start(Enum):
    """Where the members of a group come from."""

    OBJECT_QUERIES = "a copy of the learned object queries"
    IMAGE_QUERY = "the learned image query, repeated"
    MEMORIES = "a copy of the learned spatial memories"
    TOKENS = "the prompt's tokens, updated from layer to layer"
    SAMPLES = "the prompt's samples of the current level, fresh in every layer: read, never updated"


@dataclass(frozen=True)
class Member:
    """One group's line in the attention table.

    Args:
        content: what it reads in content attention (PIXELS: the image memory); None: nothing.
        by_index: it reads only tokens of its own index (its text, its region, its entity).
        masked: it reads only pixels inside its own predicted mask (masked attention of Mask2Former), or inside the
            mask that the prompt gives for its group.
        condition: the groups it sees in condition attention.
        predicts: its embeddings are an output.
    """

    group: GroupName
    start: Start
    content: GroupName | None = None
    by_index: bool = False
    masked: bool = False
    condition: tuple[GroupName, ...] = ()
    predicts: bool = True


@dataclass(frozen=True)
class Prototype:
    """The groups of one task."""

    members: tuple[Member, ...]

    def __add__(self, other: "Prototype") -> "Prototype":
        """The union of two tasks that share groups, e.g. interleaved segmentation and interleaved retrieval."""
        return Prototype(self.members + tuple(member for member in other.members if member not in self.members))


@dataclass(frozen=True)
class Prompt:
    """A prototype with the tensors that one forward needs for it."""

    prototype: Prototype
    tokens: Mapping[GroupName, Tokens] = field(default_factory=dict)  # of groups that start as TOKENS
    samples: Mapping[GroupName, tuple[Tokens, ...]] = field(default_factory=dict)  # of SAMPLES, one entry a level
    slots: Mapping[GroupName, Slots] = field(default_factory=dict)  # of IMAGE_QUERY groups with more than one member
    masks: Mapping[GroupName, Float[Tensor, "b _ _ _"]] = field(default_factory=dict)  # logits, for all or each
    foundation: Mapping[GroupName, Float[Tensor, "b n v"]] = field(default_factory=dict)
    """The members' own embeddings by a foundation with a space for texts and images (CLIP); zeros: it has none of that
    member."""

    @staticmethod
    def join(prompts: "Iterable[Prompt]") -> "Prompt":
        """One prompt of several; raises ValueError where two of them bring the same group."""
        members: list[Member] = []
        tokens: dict[GroupName, Tokens] = {}
        samples: dict[GroupName, tuple[Tokens, ...]] = {}
        slots: dict[GroupName, Slots] = {}
        masks: dict[GroupName, Tensor] = {}
        foundation: dict[GroupName, Tensor] = {}
        for prompt in prompts:
            present = {member.group for member in members}
            for member in prompt.prototype.members:
                if member.group in present:
                    raise ValueError(f"two prompts of one forward bring {member.group.value}; add their prototypes")
            members.extend(prompt.prototype.members)
            tokens |= prompt.tokens
            samples |= prompt.samples
            slots |= prompt.slots
            masks |= prompt.masks
            foundation |= prompt.foundation
        return Prompt(Prototype(tuple(members)), tokens, samples, slots, masks, foundation)
