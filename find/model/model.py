"""FIND: frozen foundations, the interface and its tasks as one model that takes images, strokes and queries."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, overload

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from find.errors import InputError
from find.images.images import ImageLike
from find.model.class_sets import Classes, ClassSet, Things, classes_for
from find.model.features import ImageFeatures
from find.model.find_all import find_all
from find.model.inference import Inference
from find.model.model_tasks import find_task
from find.model.one_or_many import (
    ImageList,
    Images,
    OneOrMany,
    Queries,
    QueryLike,
    Texts,
    as_list,
    ask,
    is_one_image,
    is_one_query,
    read_joined,
    read_queries,
)
from find.model.predictions import (
    EntityMask,
    ImageEmbeddings,
    InstancePrediction,
    PanopticPrediction,
    QueryEmbeddings,
    with_entities,
)
from find.model.requests import read_for_masks
from find.model.strokes import (
    Box,
    Negatives,
    Point,
    StrokeLike,
    Strokes,
    bitmaps,
    image_sizes,
    is_one_stroke,
    stroke_rows,
)
from find.model.validation import check_entities, check_texts
from find.query.entity import Region
from find.query.operators import JoinedQuery
from find.tasks.tagging import entity_spans
from find.tasks.task import Task
from find.utils.memory import halving
from find.utils.signatures import short_signature

if TYPE_CHECKING:
    from find.query.operators import Askable

Masks: TypeAlias = EntityMask | list[EntityMask] | list[list[EntityMask]]
"""Of one stroke or text; of those of an image; of those of each image."""


class FIND(Inference):
    """One embedding space over a frozen vision and a frozen language encoder.

        model = FIND.from_pretrained("find-tiny")
        dog, sofa = model.segment("photo.jpg", "{a red dog} next to {a sofa}")
        dog.mask, dog.box, dog.score

    Load and save: `from_pretrained`, `build`, `save_pretrained`, `push_to_hub`. Find: `segment`, `find_all`, `ground`,
    `interact`. Name everything: `panoptic`, `instances`, `semantic`. Embed: `encode_images`, `embed_images`,
    `embed_texts`, `embed_queries`, `embed_classes`. Also `entity_spans`, `run`; all else is torch's.

    Images are paths, PIL images or uint8 RGB arrays [H, W, 3]; they may differ in size, and masks come back at their
    own sizes. One image and one prompt give one result; lists give lists: prompt k is applied to image k, a single
    prompt to each image, and each prompt to a single image. The result for an image does not depend on the others
    of the call. Encode images once if you query them repeatedly: every method takes the result of `encode_images`
    in place of a list of images. A `batch_size` that does not fit into memory is halved until it does, with one
    warning. Bad input raises `find.InputError` with a one-sentence message.

    Args:
        config: the model's configuration.
        vision, language: the foundations that `config` names.
        interface: the trainable part.
        tasks: further tasks besides those that `config` names (see `find.tasks.Task`), called by `run`.
    """

    # --- embedding ------------------------------------------------------------------------------------------------

    @short_signature
    def encode_images(self, images: ImageLike | Sequence[ImageLike], *, batch_size: int = 16) -> ImageFeatures:
        """Encodes images once, for all methods that take images: they take the result instead. Predictions are the
        same; each further click or query costs a small part of the first.

        Raises:
            InputError: an image that cannot be read.
        """
        return super().encode_images([images] if is_one_image(images) else images, batch_size=batch_size)

    @short_signature
    def embed_images(self, images: Images, *, masks: bool = True, batch_size: int = 32) -> ImageEmbeddings:
        """Unit vectors of every image, `.image` [b, d], and of its object proposals, `.objects` [b, n, d] (paper 3.2).

        Args:
            images: one (b is 1) or several.
            masks: keep the proposals' masks, too, which take nearly all of the result's memory (on the
                model's device 2 bytes for each proposal and pixel of a quarter of the canvas's sides).
        """
        return super().embed_images(as_list(images), masks=masks, batch_size=batch_size)

    @overload
    def embed_texts(self, texts: str, *, batch_size: int = ...) -> Float[Tensor, " d"]: ...
    @overload
    def embed_texts(self, texts: Sequence[str], *, batch_size: int = ...) -> Float[Tensor, "t d"]: ...
    @short_signature
    def embed_texts(self, texts: str | Sequence[str], *, batch_size: int = 256) -> Tensor:
        """Unit vectors of captions, to compare with `ImageEmbeddings.image`: [d] of one text, [t, d] of a list."""
        found = super().embed_texts([texts] if isinstance(texts, str) else texts, batch_size=batch_size)
        return found[0] if isinstance(texts, str) else found

    @short_signature
    def embed_queries(self, queries: Queries, *, batch_size: int = 64) -> QueryEmbeddings:
        """Unit vectors of every query, `.query` [q, d], and of its entities, `.entities` [q, e, d], to compare with
        images and their object proposals. `queries` is one (q is 1) or a list; texts are read by `Query.parse`."""
        return super().embed_queries(read_queries(queries), batch_size=batch_size)

    @short_signature
    def embed_classes(self, classes: Classes) -> Float[Tensor, "k d"]:
        """Vectors of class names, to compare with object proposals; `classes` as `panoptic` takes them."""
        return super().embed_classes(ClassSet.of(classes).names)

    @short_signature
    @torch.inference_mode()
    def entity_spans(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        """Character ranges [start, end) of the entities of plain sentences, by the tagger; `Query.from_text` uses them.

        Raises InputError for a model without a tagger.
        """
        check_texts(texts, "texts")
        if self.interface.tagger is None:
            raise InputError("this model has no tagger to find entities in plain text; mark them: {a dog} on {sand}")
        return entity_spans(self.language, self.interface.tagger, texts, self.device)

    # --- masks of what a user asks for ----------------------------------------------------------------------------

    @overload
    def segment(self, images: ImageLike, queries: QueryLike, *, batch_size: int = ...) -> list[EntityMask]: ...
    @overload
    def segment(self, images: Images, queries: Queries, *, batch_size: int = ...) -> list[list[EntityMask]]: ...
    @short_signature
    def segment(self, images: Images, queries: Queries, *, batch_size: int = 16) -> OneOrMany[list[EntityMask]]:
        """Interleaved segmentation: a mask for each entity of a query in an image.

        Args:
            queries: such as "{a red dog} next to [other.jpg@120,80]", plain English, in which the model's tagger finds
                the entities, or `Query` objects: one or a list.

        Raises:
            InputError: a query without an entity or of wrong syntax, an image that cannot be read, lists of different
                lengths.
        """
        asked = [read_for_masks(self, JoinedQuery.of(one)).include[0] for one in read_queries(queries)]
        check_entities(asked)
        answer = partial(super().segment, batch_size=batch_size)
        return ask(answer, self.encode_images, images, asked, one_prompt=is_one_query(queries))

    @overload
    def find_all(
        self, images: ImageLike, queries: Askable, *, threshold: float = ..., batch_size: int = ...
    ) -> list[EntityMask]: ...
    @overload
    def find_all(
        self, images: Images, queries: Askable | Sequence[Askable], *, threshold: float = ..., batch_size: int = ...
    ) -> list[list[EntityMask]]: ...
    @short_signature
    def find_all(
        self,
        images: Images,
        queries: Askable | Sequence[Askable],
        *,
        threshold: float = 0.5,
        batch_size: int = 16,
    ) -> OneOrMany[list[EntityMask]]:
        """All instances of a query in an image, the most likely first; an empty list if there is none.

            model.find_all("photo.jpg", "{a striped dog}")
            model.find_all("photo.jpg", Region("a.jpg", box=b) & Region("c.jpg", box=d) - Region("e.jpg", box=f))

        Args:
            queries: one or a list, each with one entity: a phrase, or a region of this or another image as an example;
                `A & B` is like both examples, `A - C` is like A and not like C.
            threshold: minimum match probability (0..1); it is the `score` and `present` of an instance.

        Raises:
            InputError: a query without exactly one entity, a model without a match head.
        """
        asked = [read_for_masks(self, one) for one in read_joined(queries)]
        answer = partial(find_all, self, threshold=threshold, batch_size=batch_size)
        return ask(answer, self.encode_images, images, asked, one_prompt=is_one_query(queries))

    @overload
    def ground(self, images: ImageLike, texts: str, *, batch_size: int = ...) -> EntityMask: ...
    @overload
    def ground(self, images: ImageLike, texts: Sequence[str], *, batch_size: int = ...) -> list[EntityMask]: ...
    @overload
    def ground(self, images: ImageList, texts: str, *, batch_size: int = ...) -> list[EntityMask]: ...
    @overload
    def ground(
        self, images: ImageList, texts: Sequence[Sequence[str]], *, batch_size: int = ...
    ) -> list[list[EntityMask]]: ...
    @short_signature
    def ground(self, images: Images, texts: Texts, *, batch_size: int = 16) -> Masks:
        """Grounded segmentation: a mask for each text.

        Args:
            texts: for one image, a text or a list of texts; for several, a list of texts each, or one text for all.
        """
        one = is_one_image(images)
        pictures = as_list(images)
        rows: Any = [[texts]] * len(pictures) if isinstance(texts, str) else [texts] if one else texts
        found = super().ground(pictures, rows, batch_size=batch_size)
        if isinstance(texts, str):
            return found[0][0] if one else [row[0] for row in found]
        return found[0] if one else found

    @overload
    def interact(
        self,
        images: ImageLike,
        strokes: Region | Point | Box,
        negatives: StrokeLike | None = ...,
        *,
        batch_size: int = ...,
    ) -> EntityMask: ...
    @overload
    def interact(
        self,
        images: ImageLike,
        strokes: Sequence[StrokeLike],
        negatives: Sequence[StrokeLike | None] | None = ...,
        *,
        batch_size: int = ...,
    ) -> list[EntityMask]: ...
    @overload
    def interact(
        self,
        images: ImageList,
        strokes: Sequence[Strokes],
        negatives: Sequence[Negatives] | None = ...,
        *,
        batch_size: int = ...,
    ) -> list[list[EntityMask]]: ...
    @overload
    def interact(
        self, images: ImageLike, strokes: np.ndarray, negatives: Negatives = ..., *, batch_size: int = ...
    ) -> OneOrMany[EntityMask]: ...
    @short_signature
    def interact(self, images: Images, strokes: Any, negatives: Any = None, *, batch_size: int = 16) -> Masks:
        """Interactive segmentation: a mask for each stroke with which a user marks a thing.

        Args:
            strokes: each a point (x, y), a box (x0, y0, x1, y1), several points [(x, y), ...] of one thing, a `Region`
                of an image of that size (also a scribble or polygon), or a bool array [H, W]. Of one image, a stroke or
                a list of them, so [p, q] are two things and [[p, q]] is one with two points; of several images, a list
                of strokes (or an array [r, H, W]) for each. Coordinates are pixels, x before y, from the top left.
            negatives: for each stroke, strokes on what does not belong to its thing, in the same forms; None or all
                False: nothing.

        Raises:
            InputError: a stroke outside of its image, of another size, empty, or of another form.
        """
        one = is_one_image(images)
        pictures = as_list(images)
        sizes = image_sizes(pictures)
        is_single = one and is_one_stroke(strokes, sizes[0])
        rows = stroke_rows(strokes, sizes, one_image=one, what="strokes")
        marks = None
        if negatives is not None:
            own = [[negatives]] if is_single else stroke_rows(negatives, sizes, one_image=one, what="negative strokes")
            marks = bitmaps(own, sizes, "negative stroke")
        found = super().interact(pictures, bitmaps(rows, sizes, "stroke"), marks, batch_size=batch_size)
        found = with_entities(found, [[s if isinstance(s, Region) else None for s in row] for row in rows])
        return found[0][0] if is_single else found[0] if one else found

    # --- masks of everything --------------------------------------------------------------------------------------

    @overload
    def panoptic(
        self, images: ImageLike, classes: Classes = ..., is_thing: Things = ..., *, batch_size: int = ...
    ) -> PanopticPrediction: ...
    @overload
    def panoptic(
        self, images: ImageList, classes: Classes = ..., is_thing: Things = ..., *, batch_size: int = ...
    ) -> list[PanopticPrediction]: ...
    @short_signature
    def panoptic(
        self, images: Images, classes: Classes | None = None, is_thing: Things = None, *, batch_size: int = 16
    ) -> OneOrMany[PanopticPrediction]:
        """Panoptic segmentation: every pixel belongs to one segment of the classes, or to none.

        Args:
            classes: names, or a set of them: "coco-panoptic" (133) or "coco-instance" (its 80 things). None: those
                that the model was trained on; if unknown, COCO's whose words the language encoder knows.
            is_thing: for each class, whether it can be counted; None: as trained, or all but COCO's stuff ("sky").
        """
        known = classes_for(self, classes, is_thing, "coco-panoptic")
        found = super().panoptic(as_list(images), known.names, known.is_thing, batch_size=batch_size)
        named = [one.named(known.names) for one in found]
        return named[0] if is_one_image(images) else named

    @overload
    def instances(
        self,
        images: ImageLike,
        classes: Classes = ...,
        is_thing: Things = ...,
        *,
        min_score: float = ...,
        limit: int | None = ...,
        batch_size: int = ...,
    ) -> InstancePrediction: ...
    @overload
    def instances(
        self,
        images: ImageList,
        classes: Classes = ...,
        is_thing: Things = ...,
        *,
        min_score: float = ...,
        limit: int | None = ...,
        batch_size: int = ...,
    ) -> list[InstancePrediction]: ...
    @short_signature
    def instances(
        self,
        images: Images,
        classes: Classes | None = None,
        is_thing: Things = None,
        *,
        min_score: float = 0.0,
        limit: int | None = None,
        batch_size: int = 16,
    ) -> OneOrMany[InstancePrediction]:
        """Instance segmentation: scored masks of the things among the classes, best first.

        Args:
            classes, is_thing: as `panoptic` takes them.
            min_score: minimum score (0..1) of returned instances; 0 returns all, as average precision needs.
            limit: maximum number of instances of an image; None: no limit.
        """
        known = classes_for(self, classes, is_thing, "coco-instance")
        found = super().instances(as_list(images), known.names, known.is_thing, batch_size=batch_size)
        best = [one.named(known.names).best(min_score, limit) for one in found]
        return best[0] if is_one_image(images) else best

    @overload
    def semantic(
        self, images: ImageLike, classes: Classes = ..., *, batch_size: int = ...
    ) -> Int[np.ndarray, "H W"]: ...
    @overload
    def semantic(
        self, images: ImageList, classes: Classes = ..., *, batch_size: int = ...
    ) -> list[Int[np.ndarray, "_ _"]]: ...
    @short_signature
    def semantic(
        self, images: Images, classes: Classes | None = None, *, batch_size: int = 16
    ) -> OneOrMany[np.ndarray]:
        """Semantic segmentation: the index into `classes` (None: `trained_classes`, else COCO's 133) at each pixel."""
        classes = (self.trained_classes or "coco-panoptic") if classes is None else classes
        found = super().semantic(as_list(images), ClassSet.of(classes).names, batch_size=batch_size)
        return found[0] if is_one_image(images) else found

    # --- tasks by their names -------------------------------------------------------------------------------------
    @short_signature
    def run(self, task: str | Task, images: Images, prompts: Any, *, batch_size: int = 16) -> Any:
        """Runs a task by name, also of another package (`tasks`), on one image and prompt, or on lists: prompt k with
        image k. The prompts and results of a task are documented by its class (`model.tasks[name]`).

        Raises:
            InputError: the model has no such task, or there is not one prompt for each image.
        """
        found = find_task(self.tasks, task)
        if is_one_image(images):
            return self._run([images], found, [prompts], batch_size=batch_size)[0]
        return self._run(images, found, prompts, batch_size=batch_size)

    @halving
    @torch.inference_mode()
    def _run(self, images: ImageList, task: Task, prompts: Sequence[Any], *, batch_size: int) -> Any:
        return task.predict(self, images, prompts, batch_size=batch_size)


short_signature(FIND.__init__)  # which it inherits
