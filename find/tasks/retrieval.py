"""Image-text retrieval: the image query matched with the caption query. Class names are read the same way."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from find.errors import check_counts
from find.interface import Group, Interface, Member, Prompt, Prototype, Start
from find.tasks.losses import contrastive
from find.tasks.task import Step, Task

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
    """One embedding per text; needs no image. `pooled`: the language encoder's own embeddings, where it has them."""
    prompt = Prompt(
        PROTOTYPE,
        tokens={Group.CAPTION_TOKENS: interface.project_text_tokens(tokens, padding)},
        foundation={} if pooled is None else {Group.CAPTION: pooled[:, None]},
    )
    return interface(None, [prompt]).final.semantic[Group.CAPTION][:, 0]


class Retrieval(Task):
    """Images by captions and captions by images; the image query is panoptic segmentation's.

    Its loss contrasts images with captions over all processes.
    """

    name = "retrieval"
    prototype = PROTOTYPE
    weights: ClassVar = {"caption": 2.0}
    needs = ("panoptic",)

    def texts(self, step: Step) -> Sequence[str]:
        return step.batch.captions

    def losses(self, step: Step) -> Mapping[str, Float[Tensor, ""]]:
        images, captions = step.gathering.group(Group.IMAGE)[:, 0], step.gathering.rows(step.texts[self.name])

        def contrast(width: int) -> Float[Tensor, ""]:
            image, caption = (F.normalize(x[..., :width], dim=-1) for x in (images, captions))
            return contrastive(step.scale * caption @ image.mT)

        return {"caption": step.mean_over_widths(contrast)}

    def predict(
        self, model: Any, images: Any, prompts: Sequence[Sequence[str]], *, batch_size: int = 16
    ) -> list[Float[Tensor, " t"]]:
        """A prompt is a list of texts; the result is the cosine of each with the image."""
        embedded = model.embed_images(images, masks=False, batch_size=batch_size).image
        check_counts(len(embedded), len(prompts), "list of texts", "lists of texts")
        return [model.embed_texts(list(texts)) @ image for image, texts in zip(embedded, prompts, strict=True)]
