"""FIND in MTEB: `mteb.evaluate(MtebEncoder(Encoder(model)), tasks)`, for tasks of text, of images and of both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from find.errors import InputError
from find.retrieval.encoder import Encoder
from find.retrieval.matryoshka import cut

if TYPE_CHECKING:
    from mteb.models.model_meta import ModelMeta


class MtebEncoder:
    """MTEB's `EncoderProtocol` (version 2) over an `Encoder`.

    Texts are captions as they stand: braces and brackets in them have no meaning. An item with a text and an image has
    the sum of both vectors, as MTEB's CLIP models have.

    Args:
        encoder: computes the embeddings; its `truncate_dim` applies.
        name: of the model in MTEB's results, with a slash.
    """

    def __init__(self, encoder: Encoder, name: str = "find/find-tiny") -> None:
        self.encoder = encoder
        self.name = name

    def encode(
        self,
        inputs: Iterable[Mapping[str, Sequence[Any]]],
        *,
        task_metadata: object = None,
        hf_split: str | None = None,
        hf_subset: str | None = None,
        prompt_type: object = None,
        batch_size: int = 32,
        show_progress_bar: bool = False,
        **options: Any,
    ) -> Float[Tensor, "n d"]:
        """Unit vectors of the batches' items, on the CPU; MTEB's information about the task is not used.

        Args:
            inputs: batches with a list under "text", "image" (PIL images), or both.
            options: others that MTEB gives its models, such as `precision`; none of them changes a vector.

        Raises:
            InputError: a batch of something else, such as sound, or unreadable images.
        """
        model, dim = self.encoder.model, self.encoder.get_embedding_dimension()
        rows = []
        for batch in inputs:
            parts = []
            if "text" in batch:
                parts.append(model.embed_texts(list(batch["text"]), batch_size=batch_size))
            if "image" in batch:
                parts.append(model.embed_images(list(batch["image"]), masks=False, batch_size=batch_size).image)
            if not parts:
                raise InputError(f"a batch holds {', '.join(batch)}, but neither text nor images")
            rows.append(cut(normalize(torch.stack(parts).sum(dim=0).float(), dim=-1).cpu(), dim))
        return torch.cat(rows) if rows else torch.zeros(0, dim)

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Float[Tensor, "n m"]:
        """Cosines of all pairs."""
        return self.encoder.similarity(embeddings1, embeddings2)

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Float[Tensor, " n"]:
        """Cosines of the rows with the rows beside them."""
        return self.encoder.similarity_pairwise(embeddings1, embeddings2)

    @property
    def mteb_model_meta(self) -> ModelMeta:
        """The model's metadata in MTEB's results."""
        from mteb.models.model_meta import ModelMeta, ScoringFunction

        meta = ModelMeta.create_empty()
        return meta.model_copy(
            update={
                "name": self.name,
                "revision": self.encoder.model.fingerprint[:12],
                "embed_dim": self.encoder.get_embedding_dimension(),
                "modalities": ["text", "image"],
                "similarity_fn_name": ScoringFunction.COSINE,
            }
        )
