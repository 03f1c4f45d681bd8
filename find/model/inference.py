"""Inference for lists of images and prompts; `find.model.model` also takes single ones."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from find.errors import InputError, UnknownWordsWarning, check_counts, printable, warn_caller
from find.foundations import LanguageEncoder, VisionEncoder
from find.images.canvas import ImageGeometry
from find.images.images import ImageLike
from find.interface import Embeddings, Group, ImageMemory, Interface, Tokens
from find.model.config import FINDConfig
from find.model.features import ImageFeatures
from find.model.find_all import presence, texts_present
from find.model.grounding_by_chains import ground_by_chains, grounds_by_chains
from find.model.image_encoding import ImageEncoding
from find.model.mask_collector import MaskCollector, stack_strokes
from find.model.predictions import (
    EntityMask,
    ImageEmbeddings,
    InstancePrediction,
    PanopticPrediction,
    PredictedSegment,
    QueryEmbeddings,
    with_entities,
)
from find.model.validation import (
    check_entities,
    check_images,
    check_negatives,
    check_queries,
    check_strokes,
    check_texts,
)
from find.query.entity import Phrase
from find.query.query import Query
from find.tasks import generic, grounding, interactive, interleaved, retrieval
from find.tasks.chained import ChainedTask
from find.tasks.connections import Connections
from find.tasks.grounding import Phrases
from find.tasks.interactive import Interactive
from find.tasks.interleaved_segmentation import InterleavedSegmentation
from find.tasks.prompted import PromptedTask, SplitTask, best_masks
from find.tasks.region_inputs import ShownRegions
from find.tasks.task import Task, expect
from find.tasks.text_inputs import Sentences, read_texts
from find.utils.memory import halving
from find.utils.transfer import to_host_together, upload

Answer = TypeVar("Answer")


class Inference(ImageEncoding):
    """The tasks of a model, for lists: result k is that of prompt k with image k.

    Args:
        config: the model's configuration.
        vision, language: the foundations that `config` names.
        interface: the trainable part.
        tasks: further tasks, beside those that `config` names. Their parameters become parts of the interface.
    """

    def __init__(
        self,
        *,
        config: FINDConfig,
        vision: VisionEncoder,
        language: LanguageEncoder,
        interface: Interface,
        tasks: Sequence[Task] = (),
    ) -> None:
        super().__init__(config=config, vision=vision, language=language, interface=interface, tasks=tasks)
        self.panoptic_settings = generic.PanopticSettings(config.panoptic_score, config.panoptic_overlap)
        self.warned_words: set[str] = set()  # unknown words that the user has been warned of
        interleaving = expect(self.tasks["interleaved_segmentation"], InterleavedSegmentation)
        self.interactive_task: PromptedTask = expect(self.tasks["interactive"], Interactive).compared
        self.phrase_task: PromptedTask = interleaving.words
        self.region_task: PromptedTask = interleaving.regions

    # --- embedding ------------------------------------------------------------------------------------------------

    @halving
    @torch.inference_mode()
    def embed_images(
        self, images: Sequence[ImageLike] | ImageFeatures, *, masks: bool = True, batch_size: int = 32
    ) -> ImageEmbeddings:
        """Every image's vector and its object proposals.

        Args:
            masks: keep the proposals' masks, too, which take nearly all of the result's memory (on the
                model's device 2 bytes for each proposal and pixel of a quarter of the canvas's sides).
        """
        rows: dict[int, tuple[Tensor, Tensor, Tensor]] = {}
        kept: dict[int, Tensor] = {}
        frames, encoded = self._encoded(images, batch_size)
        for numbers, batch in encoded:
            final = batch.proposals(self.interface)
            image = F.normalize(final.semantic[Group.IMAGE][:, 0], dim=-1)
            objects = F.normalize(final.semantic[Group.OBJECT], dim=-1)
            drawn = batch.masks(self.interface)
            scores = generic.mask_confidence(drawn)
            rows.update(zip(numbers, zip(image, objects, scores, strict=True), strict=True))
            if masks:
                kept.update(zip(numbers, drawn.half(), strict=True))
        if not rows:
            raise InputError("no images to embed")
        image, objects, scores = (torch.stack(part) for part in zip(*(rows[n] for n in sorted(rows)), strict=True))
        drawings = tuple(kept[n] for n in sorted(kept)) if masks else None
        return ImageEmbeddings(image, objects, scores, drawings, tuple(frames))

    @halving
    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str], *, batch_size: int = 256) -> Float[Tensor, "t d"]:
        """Unit vectors of captions, to compare with `ImageEmbeddings.image`."""
        check_texts(texts, "texts")
        if not texts:
            raise InputError("no texts to embed")
        self._warn_unknown(self.language.tokenize(texts).unknown)
        parts = []
        for start in range(0, len(texts), batch_size):
            text = read_texts(self.language, texts[start : start + batch_size], self.device)
            parts.append(retrieval.embed_texts(self.interface, text.tokens, text.padding, text.pooled))
        return F.normalize(torch.cat(parts), dim=-1)

    @torch.inference_mode()
    def embed_classes(self, names: Sequence[str]) -> Float[Tensor, "k d"]:
        """Class embeddings, to compare with object proposals."""
        check_texts(names, "class names")
        if not names:
            raise InputError("no class names to embed")
        bank = dict(self.known_classes)
        new = [name for name in dict.fromkeys(names) if name not in bank]
        if new:
            prompts = [self.config.class_prompt.format(name) for name in new]
            self._warn_unknown(self.language.tokenize(prompts).unknown)
            text = read_texts(self.language, prompts, self.device)
            bank |= zip(new, retrieval.embed_texts(self.interface, text.tokens, text.padding, text.pooled), strict=True)
        return torch.stack([upload(bank[name], self.device) for name in names])

    @halving
    @torch.inference_mode()
    def embed_queries(self, queries: Sequence[Query], *, batch_size: int = 64) -> QueryEmbeddings:
        """Every query's vector and its entities' vectors, to compare with images and their object proposals."""
        check_queries(queries)
        width = max((len(query.entities) for query in queries), default=0)
        whole, parts, said = [], [], []
        unknown: list[tuple[str, ...]] = []
        for start in range(0, len(queries), batch_size):
            batch = queries[start : start + batch_size]
            sentences = self._sentences(batch)
            prompt = sentences.prompt(self.interface, interleaved.RETRIEVAL, *self._regions(batch))
            final = self.interface(None, [prompt]).final
            whole.append(F.normalize(final.semantic[Group.INTERLEAVED][:, 0], dim=-1))
            entities = F.normalize(final.semantic[Group.INTERLEAVED_ENTITY], dim=-1)[:, :width]
            parts.append(F.pad(entities, (0, 0, 0, width - entities.shape[1])))
            unknown.extend(sentences.unknown)
            said.append(self._connections(batch, width))
        if not whole:
            raise InputError("no queries to embed")
        counts = torch.tensor([len(query.entities) for query in queries])
        padding = upload(torch.arange(width) >= counts[:, None], self.device)
        entities = torch.cat(parts).masked_fill(padding[..., None], 0)
        return QueryEmbeddings(torch.cat(whole), entities, padding, tuple(unknown), Connections.join(said))

    # --- masks of what a user asks for ----------------------------------------------------------------------------

    @halving
    @torch.inference_mode()
    def segment(
        self, images: Sequence[ImageLike] | ImageFeatures, queries: Sequence[Query], *, batch_size: int = 16
    ) -> list[list[EntityMask]]:
        """Interleaved segmentation: a mask for each entity of query k in image k."""
        check_images(images)
        check_queries(queries)
        check_counts(len(images), len(queries), "query", "queries")
        check_entities(queries)
        frames, prompted = self.ready(images, batch_size)
        answers = MaskCollector(frames)
        for numbers, encoded in prompted:
            batch = [queries[number] for number in numbers]
            sentences = self._sentences(batch)
            prompt = sentences.prompt(self.interface, interleaved.SEGMENTATION, *self._regions(batch))
            compared = self.entity_task(sentences.is_region)
            task: PromptedTask | SplitTask | ChainedTask = compared
            counts = [len(query.entities) for query in batch]
            connections = self._connections(batch, max(counts))
            if connections is not None:
                extent = upload(torch.tensor([frames[number].extent for number in numbers]), self.device)
                task = ChainedTask(compared, connections, sentences.padding, encoded.memory, extent)
            final = self.interface(encoded.memory, [prompt]).final
            own = [frames[number] for number in numbers]
            is_there = presence(self.interface, encoded, final.semantic[Group.INTERLEAVED_ENTITY], own)
            answers.add(numbers, counts, *self._best(task, encoded.memory, final), is_there)
        return with_entities(answers.masks, [query.entities for query in queries])

    @halving
    @torch.inference_mode()
    def ground(
        self, images: Sequence[ImageLike] | ImageFeatures, texts: Sequence[Sequence[str]], *, batch_size: int = 16
    ) -> list[list[EntityMask]]:
        """Grounded segmentation: a mask for each of image k's texts.

        Models with a pair term and a tagger read a text as a chain of entities, the first of which is meant, and choose
        among object proposals; others have proposals of their own for it.
        """
        check_images(images)
        if isinstance(texts, str):
            raise InputError(f"texts is one str; give a list of texts for each image: [[{texts!r}]]")
        check_counts(len(images), len(texts), "list of texts", "lists of texts")
        for number, row in enumerate(texts):
            check_texts(row, f"the list of texts of image {number}")
        if any(texts):
            self._warn_unknown(self.language.tokenize([text for row in texts for text in row]).unknown)
        frames, prompted = self.ready(images, batch_size)
        answers = MaskCollector(frames)
        for numbers, encoded in prompted:
            batch, own = [texts[number] for number in numbers], [frames[number] for number in numbers]
            counts = [len(row) for row in batch]
            if grounds_by_chains(self.interface):
                answers.add(numbers, counts, *ground_by_chains(self, encoded, batch, own))
                continue
            prompt = Phrases.read(self.language, batch, self.device).prompt(self.interface)
            final = self.interface(encoded.memory, [prompt]).final
            is_there = texts_present(self, encoded, batch, own)
            answers.add(numbers, counts, *self._best(grounding.TASK, encoded.memory, final), is_there)
        return with_entities(answers.masks, [[Phrase(text) if text.strip() else None for text in row] for row in texts])

    @halving
    @torch.inference_mode()
    def interact(
        self,
        images: Sequence[ImageLike] | ImageFeatures,
        strokes: Sequence[Bool[np.ndarray, "_ _ _"]],
        negatives: Sequence[Bool[np.ndarray, "_ _ _"]] | None = None,
        *,
        batch_size: int = 16,
    ) -> list[list[EntityMask]]:
        """Interactive segmentation: a mask for each of image k's strokes (points, boxes, scribbles, ... as masks).

        Args:
            negatives: for each stroke, marks of what does not belong to its thing (all False: none).
        """
        check_images(images)
        check_counts(len(images), len(strokes), "stack of strokes", "stacks of strokes")
        check_strokes(strokes)
        if negatives is not None:
            check_counts(len(images), len(negatives), "stack of negative strokes", "stacks of negative strokes")
            check_negatives(strokes, negatives)
        frames, prompted = self.ready(images, batch_size)
        answers = MaskCollector(frames)
        for numbers, encoded in prompted:
            own = [frames[number] for number in numbers]
            positive, padding = stack_strokes([strokes[number] for number in numbers], own, self.device)
            negative = None
            if negatives is not None:
                negative, _ = stack_strokes([negatives[number] for number in numbers], own, self.device)
            prompt = interactive.prompt(self.interface, encoded.memory, positive, padding, negatives=negative)
            counts = [len(strokes[number]) for number in numbers]
            final = self.interface(encoded.memory, [prompt]).final
            answers.add(numbers, counts, *self._best(self.interactive_task, encoded.memory, final))
        return answers.masks

    # --- masks of everything --------------------------------------------------------------------------------------

    @halving
    def panoptic(
        self,
        images: Sequence[ImageLike] | ImageFeatures,
        class_names: Sequence[str],
        is_thing: Sequence[bool],
        *,
        batch_size: int = 16,
    ) -> list[PanopticPrediction]:
        """Panoptic segmentation into the named classes."""
        things = self._things(class_names, is_thing)

        def answer(logits: Tensor, masks: Tensor, frames: list[ImageGeometry]) -> Iterator[PanopticPrediction]:
            for found in generic.panoptic_of_batch(logits, masks, things, self.panoptic_settings, frames):
                numbered = enumerate(zip(found.labels, found.scores, strict=True), start=1)
                segments = tuple(PredictedSegment(k, label, score) for k, (label, score) in numbered)
                yield PanopticPrediction(found.segment_map.numpy(), segments)

        return self._each(images, class_names, answer, batch_size)

    @halving
    def instances(
        self,
        images: Sequence[ImageLike] | ImageFeatures,
        class_names: Sequence[str],
        is_thing: Sequence[bool],
        *,
        batch_size: int = 16,
    ) -> list[InstancePrediction]:
        """Instance segmentation of the named things."""
        things = self._things(class_names, is_thing)

        def answer(logits: Tensor, masks: Tensor, frames: list[ImageGeometry]) -> Iterator[InstancePrediction]:
            if self.config.conventions.pairs_before_things:
                logits = generic.only_best_pairs(logits)
            for found in generic.instances_of_batch(logits, masks, things, frames):
                yield InstancePrediction(found.masks.numpy(), found.labels.numpy(), found.scores.numpy())

        return self._each(images, class_names, answer, batch_size)

    @halving
    def semantic(
        self, images: Sequence[ImageLike] | ImageFeatures, class_names: Sequence[str], *, batch_size: int = 16
    ) -> list[Int[np.ndarray, "_ _"]]:
        """Semantic segmentation: the index of the best class name at each pixel."""

        def answer(logits: Tensor, masks: Tensor, frames: list[ImageGeometry]) -> Iterator[np.ndarray]:
            rows = zip(logits, masks, frames, strict=True)
            best = ([generic.best_classes(row, mask, drawing=frame)] for row, mask, frame in rows)
            return (one.numpy() for (one,) in to_host_together(best))

        return self._each(images, class_names, answer, batch_size)

    @torch.inference_mode()
    def _each(
        self,
        images: Sequence[ImageLike] | ImageFeatures,
        class_names: Sequence[str],
        answer: Callable[[Tensor, Tensor, list[ImageGeometry]], Iterator[Answer]],
        batch_size: int,
    ) -> list[Answer]:
        """`answer` gets class logits [b, n, k+1] and mask logits [b, n, h, w] of a batch's images, and their frames."""
        frames, encoded = self._encoded(images, batch_size)
        if isinstance(images, ImageFeatures):
            classes = images.classes(class_names, self.embed_classes)
        else:
            classes = self.embed_classes(class_names)
        answers: dict[int, Answer] = {}
        for numbers, batch in encoded:
            final = batch.proposals(self.interface)
            logits = generic.class_logits(self.interface, final.semantic[Group.OBJECT], classes)
            masks = batch.masks(self.interface)
            answers.update(zip(numbers, answer(logits, masks, [frames[number] for number in numbers]), strict=True))
        return [answers[number] for number in range(len(frames))]

    # --- from what users give to tensors --------------------------------------------------------------------------

    def _things(self, class_names: Sequence[str], is_thing: Sequence[bool]) -> Bool[Tensor, " k"]:
        if len(class_names) != len(is_thing):
            raise InputError(
                f"{len(class_names)} class names but {len(is_thing)} is_thing; say of each class whether its segments "
                "can be counted (True) or not (False)"
            )
        return torch.tensor(list(is_thing), dtype=torch.bool)

    def _sentences(self, queries: Sequence[Query]) -> Sentences:
        rendered = [query.render(self.language.placeholder) for query in queries]
        sentences = Sentences.read(self.language, rendered, self.device)
        for row, entity in sentences.truncated_entities[:1]:
            raise InputError(
                f"the language encoder reads no word of entity {entity + 1}, {queries[row].entities[entity]}, of the "
                f"query {queries[row].text[:60]!r}...: it takes {self.language.context_length} tokens; shorten it"
            )
        self._warn_unknown(sentences.unknown)
        return sentences

    def _connections(self, queries: Sequence[Query], width: int) -> Connections | None:
        """What the words between entities say; None for a model without a pair term."""
        term = self.interface.pair_term
        if term is None:
            return None
        rendered = [query.render(self.language.placeholder) for query in queries]
        return Connections.read(self.language, term, rendered, width, self.device)

    def _warn_unknown(self, unknown: Sequence[Sequence[str]]) -> None:
        """Warns of the words that the language encoder has never seen, of each once."""
        words = {word for words in unknown for word in words} - self.warned_words
        if words:
            self.warned_words |= words
            named = ", ".join(printable(word[:40]) for word in sorted(words))
            message = f"words unknown to the language encoder: {named}; results for them are a guess"
            warn_caller(message, UnknownWordsWarning)

    def _regions(self, queries: Sequence[Query]) -> tuple[tuple[Tokens, ...] | None, Float[Tensor, "q e v"] | None]:
        """What `Sentences.prompt` takes of the queries' regions."""
        shown = ShownRegions.of(queries)
        if not shown.places:
            return None, None
        frames, encoded = self._encoded(shown.pictures, batch_size=32)
        return shown.read(self.interface, frames, ((numbers, batch.memory) for numbers, batch in encoded))

    def entity_task(self, is_region: Bool[Tensor, "b e"]) -> PromptedTask | SplitTask:
        """How the entities of sentences are compared with entity proposals."""
        return expect(self.tasks["interleaved_segmentation"], InterleavedSegmentation).entity_comparison(is_region)

    def _best(
        self, task: PromptedTask | SplitTask | ChainedTask, memory: ImageMemory, final: Embeddings
    ) -> tuple[Tensor, Tensor]:
        """Mask logits [b, t, h, w] and scores [b, t] of each prompt's best proposal."""
        scores = task.scores(self.interface, final)
        return best_masks(scores, final.pixel[task.proposals], memory.mask_features)
