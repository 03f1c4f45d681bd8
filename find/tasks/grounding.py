"""Grounded segmentation: grounding proposals matched with the description queries of phrases."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from find.interface import Group, Interface, Member, Prompt, Prototype, Slots, Start
from find.tasks.prompted import PromptedTask, Space

PROTOTYPE = Prototype(
    (
        Member(
            Group.GROUNDING,
            Start.OBJECT_QUERIES,
            content=Group.PIXELS,
            masked=True,
            condition=(Group.GROUNDING, Group.DESCRIPTION_TOKENS),
        ),
        Member(
            Group.DESCRIPTION,
            Start.IMAGE_QUERY,
            content=Group.DESCRIPTION_TOKENS,
            by_index=True,
            condition=(Group.DESCRIPTION,),
        ),
        Member(
            Group.DESCRIPTION_TOKENS,
            Start.TOKENS,
            condition=(Group.DESCRIPTION_TOKENS, Group.GROUNDING),
            predicts=False,
        ),
    )
)
TASK = PromptedTask("grounding", Group.GROUNDING, Group.DESCRIPTION, Space.SEMANTIC)


def prompt(
    interface: Interface,
    tokens: Float[Tensor, "b t l w"],
    token_padding: Bool[Tensor, "b t l"],
    text_padding: Bool[Tensor, "b t"],
    pooled: Float[Tensor, "b t v"] | None = None,
) -> Prompt:
    """The texts of each image side by side; description query k reads the tokens of text k.

    Args:
        tokens: the language encoder's features of each image's texts.
        token_padding: padding within a text; all True for a padding text.
        text_padding: which of an image's `t` texts are padding.
        pooled: the language encoder's own embeddings of the texts, where it has them.
    """
    b, t, length, _ = tokens.shape
    index = torch.arange(t, device=tokens.device).repeat_interleave(length).expand(b, -1)
    words = interface.project_text_tokens(tokens.flatten(1, 2), token_padding.flatten(1), index)
    return Prompt(
        PROTOTYPE,
        tokens={Group.DESCRIPTION_TOKENS: words},
        slots={Group.DESCRIPTION: Slots.of(text_padding)},
        foundation={} if pooled is None else {Group.DESCRIPTION: pooled},
    )
