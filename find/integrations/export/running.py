"""Runs an exported model: its graphs in ONNX Runtime, its tokenizer, and the same results as FIND."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor

from find.errors import CheckpointError, InputError, UnknownWordsWarning, check_counts, warn_caller
from find.foundations.tokenization import TextTokenizer
from find.images.canvas import ImageGeometry, by_canvas
from find.images.images import ImageLike, read_image, read_size
from find.integrations.export.asking import Reading
from find.integrations.export.manifest import PAIR_TERM, TOKENIZER, GraphFile, Manifest
from find.interface import PairTerm, Tokens
from find.model.mask_collector import MaskCollector
from find.model.predictions import EntityMask, ImageEmbeddings, QueryEmbeddings
from find.model.validation import check_entities, check_images, check_queries
from find.query.query import Query
from find.tasks.connections import Connections
from find.tasks.region_inputs import ShownRegions
from find.utils.extras import extra

Named = dict[str, Tensor]


class OnnxGraph:
    """A graph in ONNX Runtime, on the CPU."""

    def __init__(self, folder: Path, graph: GraphFile, threads: int | None) -> None:
        with extra("onnx", f"the ONNX export {folder}"):
            import onnxruntime
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # spinning slows PyTorch
        if threads is not None:
            options.intra_op_num_threads = threads
        try:
            self.session = onnxruntime.InferenceSession(
                folder / graph.file, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its exceptions have no common base
            reason = str(error).splitlines()[0]
            raise CheckpointError(f"{folder / graph.file} is damaged ({reason}); export the model again") from error
        self.inputs = [one.name for one in self.session.get_inputs()]  # what a graph has no use for is not among them
        self.outputs = [one.name for one in graph.outputs]

    def __call__(self, named: Mapping[str, Tensor]) -> Named:
        found = self.session.run(None, {name: named[name].numpy() for name in self.inputs})
        return {name: torch.from_numpy(np.asarray(x)) for name, x in zip(self.outputs, found, strict=True)}


class OnnxModel:
    """An exported model, for albums and scripts: embeds lists of images and queries and segments, as the model would.

    Images are paths, PIL images or uint8 arrays, as everywhere. Regions of queries may lie in any picture. The tagger
    of plain sentences and the match head (presence, relevance) are not exported, nor are the other tasks.

    Args:
        folder: what `findvl export model --format onnx` has written.
        threads: of ONNX Runtime; None: one for each core.

    Raises:
        CheckpointError: the folder is not an export, has another format version, or a file is missing or damaged.
    """

    def __init__(self, folder: str | Path, *, threads: int | None = None) -> None:
        self.folder = Path(folder)
        self.manifest = manifest = Manifest.read(self.folder)
        if manifest.form != "onnx":
            raise CheckpointError(f"{folder} is an export for {manifest.form}; export the model with --format onnx")
        self.threads = threads
        self.resizing = manifest.canvas.resizing()
        self.reading = self._reading()
        self.warned_words: set[str] = set()
        self._graphs: dict[str, OnnxGraph] = {}

    @property
    def fingerprint(self) -> str:
        """The model's, whose vectors these are."""
        return self.manifest.fingerprint

    @property
    def language(self) -> Reading:
        """What reads texts: its `tokenize` and `placeholder`."""
        return self.reading

    @cached_property
    def pair_term(self) -> PairTerm | None:
        settings = self.manifest.reading
        if settings.pair_width is None:
            return None
        sizes = {"text_width": settings.text_width, "semantic_width": self.manifest.semantic_width}
        term = PairTerm(**sizes, width=settings.pair_width)
        try:
            term.load_state_dict(load_file(self.folder / PAIR_TERM))
        except Exception as error:  # of safetensors or of shapes
            raise CheckpointError(f"{self.folder / PAIR_TERM} is damaged; export the model again") from error
        return term.eval()

    @torch.inference_mode()
    def embed_images(self, images: Sequence[ImageLike], *, masks: bool = True, batch_size: int = 32) -> ImageEmbeddings:
        """Every image's vector and its object proposals; see `find.FIND.embed_images`."""
        check_images(images)
        if not images:
            raise InputError("no images to embed")
        frames = [self.resizing.fit(*read_size(image)) for image in images]
        rows: dict[int, tuple[Tensor, ...]] = {}
        for numbers, found in self._encoded(images, frames, batch_size):
            parts = (found["image"], found["objects"], found["confidence"], found["masks"].half())
            rows.update(zip(numbers, zip(*parts, strict=True), strict=True))
        image, objects, scores, drawn = zip(*(rows[number] for number in range(len(images))), strict=True)
        vectors = (torch.stack(part) for part in (image, objects, scores))
        return ImageEmbeddings(*vectors, drawn if masks else None, tuple(frames))

    @torch.inference_mode()
    def embed_queries(self, queries: Sequence[Query], *, batch_size: int = 64) -> QueryEmbeddings:
        """Every query's vector and its entities' vectors; see `find.FIND.embed_queries`."""
        check_queries(queries)
        if not queries:
            raise InputError("no queries to embed")
        width = max(len(query.entities) for query in queries)
        found = []
        for start in range(0, len(queries), batch_size):
            batch = queries[start : start + batch_size]
            words = self._words(batch, entities=max(width, 1))
            found.append(self._graph("query")(words) | {"padding": words["entity_padding"]})
        sentence, entities, padding = (
            torch.cat([x[name] for x in found]) for name in ("sentence", "entities", "padding")
        )
        connections = None
        if self.pair_term is not None:
            said = torch.cat([x["said"] for x in found])
            connections = Connections(said[:, : width + 1], self.pair_term)
        return QueryEmbeddings(sentence, entities[:, :width], padding[:, :width], self._unknown(queries), connections)

    @torch.inference_mode()
    def segment(
        self, images: Sequence[ImageLike], queries: Sequence[Query], *, batch_size: int = 16
    ) -> list[list[EntityMask]]:
        """A mask for each entity of query k in image k; see `find.FIND.segment`."""
        check_images(images)
        check_queries(queries)
        check_counts(len(images), len(queries), "query", "queries")
        check_entities(queries)
        self._unknown(queries)
        frames = [self.resizing.fit(*read_size(image)) for image in images]
        collected = MaskCollector(frames)
        for numbers, encoded in self._encoded(images, frames, batch_size):
            batch = [queries[number] for number in numbers]
            words = self._words(batch, entities=self.manifest.entities)
            found = self._graph("segment")(encoded | words)
            counts = [len(query.entities) for query in batch]
            collected.add(numbers, counts, found["entity_masks"], found["probability"])
        return collected.masks

    # --- the graphs -----------------------------------------------------------------------------------------------

    def _graph(self, name: str) -> OnnxGraph:
        if name not in self._graphs:
            self._graphs[name] = OnnxGraph(self.folder, self.manifest.graph(name), self.threads)
        return self._graphs[name]

    def _reading(self) -> Reading:
        settings, file = self.manifest.reading, self.folder / TOKENIZER
        try:
            backend = Tokenizer.from_file(str(file))
        except Exception as error:  # tokenizers raises nothing more special
            raise CheckpointError(f"{file} is damaged ({error}); export the model again") from error
        tokenize = TextTokenizer(
            backend,
            context_length=settings.context_length,
            padding_id=settings.padding_id,
            unknown_id=settings.unknown_id,
            spec=str(self.folder),
        )
        return Reading(
            tokenize=tokenize,
            placeholder=settings.placeholder,
            region_points=settings.region_points,
            region_levels=settings.region_levels,
            width=settings.width,
            pooled_width=settings.pooled_width,
            has_pair_term=settings.pair_width is not None,
        )

    def _encoded(
        self, images: Sequence[ImageLike], frames: Sequence[ImageGeometry], batch_size: int
    ) -> Iterator[tuple[list[int], Named]]:
        """Pictures that share a canvas, with their numbers, as the image graph gives them."""
        for numbers in by_canvas(frames, batch_size):
            own = [frames[number] for number in numbers]
            pictures = [frame.place(read_image(images[number])) for number, frame in zip(numbers, own, strict=True)]
            named = {"pictures": torch.stack(pictures), "extent": torch.tensor([frame.extent for frame in own])}
            yield numbers, named | self._graph("image")(named)

    def _words(self, queries: Sequence[Query], *, entities: int) -> Named:
        shown = ShownRegions.of(queries)
        if not shown.places:
            return self.reading.words(queries, entities=entities)
        frames = [self.resizing.fit(*read_size(picture)) for picture in shown.pictures]
        encoded = self._encoded(shown.pictures, frames, batch_size=32)
        return self.reading.words(queries, *self._regions(shown, frames, encoded), entities=entities)

    def _regions(
        self, shown: ShownRegions, frames: Sequence[ImageGeometry], encoded: Iterator[tuple[list[int], Named]]
    ) -> tuple[tuple[Tokens, ...], Float[Tensor, "q e v"] | None]:
        """What `ShownRegions.read` gives, by the region graph."""
        points, names = self.reading.region_points, [f"region_tokens_{k}" for k in range(self.reading.region_levels)]
        found: Named = {name: torch.zeros(*shown.shape, points, self.reading.width) for name in names}
        found["region_padding"] = torch.ones(*shown.shape, points, dtype=torch.bool)
        if self.reading.pooled_width is not None:
            found["region_own"] = torch.zeros(*shown.shape, self.reading.pooled_width)
        for numbers, features in encoded:
            of_picture = [[place for place in shown.places if place.picture == number] for number in numbers]
            most = max(map(len, of_picture))
            masks = torch.zeros(len(numbers), most, *frames[numbers[0]].canvas, dtype=torch.bool)
            for row, (number, places) in enumerate(zip(numbers, of_picture, strict=True)):
                for k, place in enumerate(places):
                    masks[row, k] = frames[number].place_mask(place.region.bitmap())
            read = self._graph("regions")(features | {"regions": masks})
            for row, places in enumerate(of_picture):
                for k, place in enumerate(places):
                    for name, kept in found.items():
                        kept[place.query, place.entity] = read[name][row, k]
        padding = found["region_padding"].flatten(1)
        index = torch.arange(shown.shape[1]).repeat_interleave(points).expand(shown.shape[0], -1)
        return tuple(Tokens(found[name].flatten(1, 2), padding, index) for name in names), found.get("region_own")

    def _unknown(self, queries: Sequence[Query]) -> tuple[tuple[str, ...], ...]:
        """Words that the language encoder does not know; warns of each once."""
        unknown = self.reading.tokenize([query.render(self.reading.placeholder).text for query in queries]).unknown
        words = {word for words in unknown for word in words} - self.warned_words
        if words:
            self.warned_words |= words
            message = f"words unknown to the language encoder: {', '.join(sorted(words))}; results for them are a guess"
            warn_caller(message, UnknownWordsWarning)
        return unknown
