"""Image-text retrieval: the image query matched with the caption query. Class names are read the same way."""

from jaxtyping import Bool, Float
from torch import Tensor

from find.interface import Group, Interface, Member, Prompt, Prototype, Start

PROTOTYPE = Prototype(
    (
        Member(Group.CAPTION, Start.IMAGE_QUERY, content=Group.CAPTION_TOKENS, condition=(Group.CAPTION,)),
        Member(Group.CAPTION_TOKENS, Start.TOKENS, condition=(Group.CAPTION_TOKENS,), predicts=False),
    )
)


def embed_texts(
    interface: Interface,
    tokens: Float[Tensor, "t l w"],
    padding: Bool[Tensor, "t l"],
    pooled: Float[Tensor, "t v"] | None = None,
) -> Float[Tensor, "t d"]:
    """One embedding a text; needs no image. `pooled`: the language encoder's own embeddings, where it has them."""
    prompt = Prompt(
        PROTOTYPE,
        tokens={Group.CAPTION_TOKENS: interface.project_text_tokens(tokens, padding)},
        foundation={} if pooled is None else {Group.CAPTION: pooled[:, None]},
    )
    return interface(None, [prompt]).final.semantic[Group.CAPTION][:, 0]
