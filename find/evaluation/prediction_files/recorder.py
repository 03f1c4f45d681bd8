"""A system that wraps another one and records its answers as prediction files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor

from find.data.decode import segment_png
from find.evaluation.encoding import encode_once, some_of
from find.evaluation.mask_ap import encode, instance_results
from find.evaluation.prediction_files.folder import NamedFolder, id_of
from find.evaluation.prediction_files.masks import MaskWriter, write_records
from find.evaluation.prediction_files.panoptic import record_of
from find.evaluation.prediction_files.query_parts import key_of, parts_of, parts_of_text
from find.evaluation.prediction_files.vectors import Vectors, write_vectors
from find.evaluation.system import FindSystem, ImageVectors, QueryVectors
from find.images.images import ImageLike
from find.model.predictions import EntityMask, InstancePrediction, PanopticPrediction
from find.query.query import Query

PANOPTIC, INSTANCES, SEMANTIC = "panoptic.json", "instances.json", "semantic.json"
GROUNDING, SEGMENTATION = "grounding.json", "interleaved_segmentation.json"
VECTORS = "embeddings.npz"


class Recorder:
    """Forwards every query to `system`, and records the answers for `save`; panoptic PNGs are written immediately.

    Clicks depend on the previous masks, so answers of interactive segmentation are not recorded.

    Args:
        system: the wrapped system.
        folder: the split that is evaluated.
        out: the folder to write.
    """

    def __init__(self, system: FindSystem, *, folder: NamedFolder, out: Path) -> None:
        self.system = system
        self.folder = folder
        self.out = out
        self.language = getattr(system, "language", None)
        self._category_ids = [category.id for category in folder.categories]
        self._panoptic: list[dict] = []
        self._instances: list[dict] = []
        self._semantic: list[dict] = []
        self._grounding = MaskWriter()
        self._segmentation = MaskWriter()
        self._vectors = Vectors()

    def save(self) -> list[Path]:
        """Writes the recorded predictions; returns the files."""
        self.out.mkdir(parents=True, exist_ok=True)
        files = []
        if self._panoptic:
            files.append(self.out / PANOPTIC)
            write_records(files[-1], annotations=self._panoptic)
        for name, results in ((INSTANCES, self._instances), (SEMANTIC, self._semantic)):
            if results or self._panoptic:
                files.append(self.out / name)
                write_results(files[-1], results)
        for name, writer in ((GROUNDING, self._grounding), (SEGMENTATION, self._segmentation)):
            if writer.queries.records:
                files.append(self.out / name)
                writer.write(files[-1])
        if self._vectors.images:
            files.append(self.out / VECTORS)
            write_vectors(files[-1], self._vectors)
        return files

    def encode_images(self, images: Sequence[ImageLike]) -> NamedFeatures:
        """The system's encoded images, with the image ids."""
        return NamedFeatures(images, encode_once(self.system, images))

    def panoptic(
        self, images: Sequence[ImageLike] | NamedFeatures, class_names: Sequence[str], is_thing: Sequence[bool]
    ) -> list[PanopticPrediction]:
        answers = self.system.panoptic(_given(images), class_names, is_thing)
        pictures = self.out / Path(PANOPTIC).stem
        pictures.mkdir(parents=True, exist_ok=True)
        for image, answer in zip(images, answers, strict=True):
            record = record_of(id_of(image), answer, self._category_ids)
            segment_png(answer.segment_map).save(pictures / record["file_name"])
            self._panoptic.append(record)
        return answers

    def instances(
        self, images: Sequence[ImageLike] | NamedFeatures, class_names: Sequence[str], is_thing: Sequence[bool]
    ) -> list[InstancePrediction]:
        answers = self.system.instances(_given(images), class_names, is_thing)
        for image, answer in zip(images, answers, strict=True):
            categories = [self._category_ids[label] for label in answer.labels]
            self._instances += instance_results(
                image_id=id_of(image), masks=answer.masks, category_ids=categories, scores=answer.scores
            )
        return answers

    def semantic(self, images: Sequence[ImageLike] | NamedFeatures, class_names: Sequence[str]) -> list[np.ndarray]:
        answers = self.system.semantic(_given(images), class_names)
        for image, answer in zip(images, answers, strict=True):
            self._semantic += [
                {
                    "image_id": id_of(image),
                    "category_id": self._category_ids[label],
                    "segmentation": encode(answer == label),
                }
                for label in np.unique(answer).tolist()
                if label >= 0
            ]
        return answers

    def ground(self, images: Sequence[ImageLike], texts: Sequence[Sequence[str]]) -> list[list[EntityMask]]:
        answers = self.system.ground(_given(images), texts)
        for image, asked, masks in zip(images, texts, answers, strict=True):
            for text, mask in zip(asked, masks, strict=True):
                self._grounding.add(id_of(image), parts_of_text(text), [mask])
        return answers

    def segment(self, images: Sequence[ImageLike], queries: Sequence[Query]) -> list[list[EntityMask]]:
        answers = self.system.segment(_given(images), queries)
        for image, query, masks in zip(images, queries, answers, strict=True):
            self._segmentation.add(id_of(image), parts_of(query, self.folder), masks)
        return answers

    def interact(
        self,
        images: Sequence[ImageLike] | NamedFeatures,
        strokes: Sequence[Bool[np.ndarray, "r h w"]],
        negatives: Sequence[Bool[np.ndarray, "r h w"]] | None = None,
    ) -> list[list[EntityMask]]:
        return self.system.interact(_given(images), strokes, negatives)

    def embed_images(self, images: Sequence[ImageLike]) -> ImageVectors:
        answers = self.system.embed_images(_given(images))
        vectors, objects = numbers(answers.image), numbers(answers.objects)
        for image, vector, own in zip(images, vectors, objects, strict=True):
            self._vectors.images[id_of(image)] = vector, own
        return answers

    def embed_texts(self, texts: Sequence[str]) -> Float[Tensor, "t d"]:
        answers = self.system.embed_texts(texts)
        self._vectors.texts.update(zip(texts, numbers(answers), strict=True))
        return answers

    def embed_queries(self, queries: Sequence[Query]) -> QueryVectors:
        answers = self.system.embed_queries(queries)
        vectors, entities = numbers(answers.query), numbers(answers.entities)
        for query, vector, own, padding in zip(queries, vectors, entities, answers.padding.cpu().numpy(), strict=True):
            self._vectors.queries[key_of(parts_of(query, self.folder))] = vector, own[~padding]
        return answers


@dataclass(frozen=True)
class NamedFeatures:
    """Images, and the encoded form that the system gets instead."""

    images: Sequence[ImageLike]
    given: Any

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[ImageLike]:
        return iter(self.images)

    def __getitem__(self, numbers: Sequence[int]) -> NamedFeatures:
        return NamedFeatures([self.images[number] for number in numbers], some_of(self.given, numbers))


def _given(images: Sequence[ImageLike] | NamedFeatures) -> Any:
    return images.given if isinstance(images, NamedFeatures) else images


def write_results(path: Path, results: Sequence[dict]) -> None:
    """COCO's result list, one record per line."""
    lines = ",\n".join(json.dumps(result) for result in results)
    path.write_text(f"[\n{lines}\n]\n" if results else "[]\n", encoding="utf-8")


def numbers(tensor: Tensor) -> np.ndarray:
    """float32 on the CPU, as the protocols use it."""
    return tensor.float().cpu().numpy()
