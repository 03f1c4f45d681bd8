"""Pre-annotation: every instance of some classes on photographs, by words and by examples."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import torch

from find.annotation.labelling.duplicates import across_classes, without_repeats
from find.annotation.labelling.finders import finder_of
from find.annotation.labelling.labels import Label, LabelledPhoto, Labels
from find.annotation.labelling.names import check_class, class_name, written
from find.errors import FindError, InputError
from find.model.find_all import check_threshold
from find.model.one_or_many import read_joined
from find.query.entity import Phrase
from find.query.operators import JoinedQuery
from find.retrieval.photos import Picture, Skipped, find_files, read_ahead
from find.utils.progress import progress_bar

if TYPE_CHECKING:
    from find.model.model import FIND
    from find.query.operators import Askable

ClassQueries: TypeAlias = "Askable | Sequence[Askable]"
READERS = 2


@torch.inference_mode()
def label(
    model: FIND,
    photos: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    queries: Mapping[str, ClassQueries] | ClassQueries,
    *,
    threshold: float = 0.5,
    only_best: bool = False,
    keep_duplicates: bool = False,
    batch_size: int = 16,
    progress: bool = True,
) -> Labels:
    """Finds every instance of some classes on photographs, to be corrected by people and trained on.

        labels = find.label(model, "photos", {"car": "{a red car}", "crack": Region("a.jpg", box=b) - "{a joint}"})
        labels.save_coco("photos/labels.json")

    Args:
        photos: a folder, searched recursively, or files.
        queries: the query of each class, as `FIND.find_all` takes it; several queries of a class are united. Without
            names, a class is named after its phrase ("{a red car}" is "red car").
        threshold: minimum probability of a match (0..1). Models without a match head use the probability of the class
            among all given classes, and accept phrases only.
        only_best: only the most probable instance of each class in a photo.
        keep_duplicates: an object that two classes find keeps both labels, instead of the likelier one.

    Raises:
        InputError: no photographs, a query with other than one entity, examples for a model without a match head.
    """
    check_threshold(threshold)
    classes = read_classes(queries)
    finder = finder_of(model, classes, threshold)
    folder = find_files(photos)
    files = [file for file in folder.files if not file.is_video]
    if not files:
        raise InputError(f"{folder.root}: there are videos only; save frames as pictures to label them")
    done: list[LabelledPhoto] = []
    skipped = [*folder.unlisted, *folder.refused]
    skipped += [Skipped(file.file, "a video; save frames as pictures") for file in folder.files if file.is_video]
    duplicates: Counter[tuple[str, str]] = Counter()
    with progress_bar(shown=progress) as bar:
        task = bar.add_task("labelling", total=len(files))
        for batch in read_ahead(files, batch_size, READERS):
            readable = [_fitting(model, folder.root, one) for one in batch]
            pictures = [one for one in readable if isinstance(one, Picture)]
            skipped += [one for one in readable if isinstance(one, Skipped)]
            found = finder.find(pictures, batch_size) if pictures else []
            for picture, labels in zip(pictures, found, strict=True):
                kept, pairs = across_classes(_likeliest(labels) if only_best else without_repeats(labels))
                duplicates.update((winner.category, other.category) for winner, other in pairs)
                if keep_duplicates:
                    kept += [other for _, other in pairs]
                order = {name: number for number, name in enumerate(classes)}
                kept.sort(key=lambda label: (order[label.category], -label.score))
                size = picture.pixels.shape[0], picture.pixels.shape[1]
                done.append(LabelledPhoto(picture.photo.path, size, tuple(kept)))
            bar.advance(task, len(batch))
    if not done:
        raise InputError(f"{skipped[0].path}: {skipped[0].reason}; none of {len(files)} pictures can be read")
    asked = {name: [written(query) for query in sought] for name, sought in classes.items()}
    settings = {"threshold": threshold, "only_best": only_best, "score": finder.score, "model": model.fingerprint}
    return Labels(folder.root, asked, done, skipped, duplicates, settings)


def read_classes(queries: Mapping[str, ClassQueries] | ClassQueries) -> dict[str, list[JoinedQuery]]:
    """Class -> its queries. Raises InputError if a class has no name or a query does not have one entity."""
    if isinstance(queries, Mapping):
        named = {name: _read(asked) for name, asked in queries.items()}
    else:
        named = {}
        for query in _read(queries):
            named.setdefault(class_name(query), []).append(query)
    if not named or not all(named.values()):
        raise InputError("there is nothing to find: give queries, such as {a red car}")
    for name, sought in named.items():
        if not isinstance(name, str) or not name.strip():
            raise InputError(f"a class needs a name, this one has {name!r}")
        for query in sought:
            check_class(query)
    return named


def _read(asked: ClassQueries) -> list[JoinedQuery]:
    """Plain text is one phrase: a class is one thing, so that there is nothing else in it to find."""
    given = asked if isinstance(asked, Sequence) and not isinstance(asked, str) else [asked]
    return [_as_phrase(query) for query in read_joined(given)]


def _as_phrase(query: JoinedQuery) -> JoinedQuery:
    from find.query.query import Query

    first = query.include[0]
    if len(query.include) == 1 and not first.entities and first.text.strip():
        return JoinedQuery((Query(Phrase(first.text)),), query.exclude)
    return query


def _fitting(model: FIND, root: Path, read: Picture | Skipped) -> Picture | Skipped:
    """The picture if the model accepts its size, otherwise Skipped with the reason."""
    if isinstance(read, Picture):
        try:
            model.resizing.fit(*read.pixels.shape[:2])
        except FindError as error:
            return Skipped(root / read.photo.path, str(error))
    return read


def _likeliest(labels: Sequence[Label]) -> list[Label]:
    best: dict[str, Label] = {}
    for label in labels:
        if label.category not in best or label.score > best[label.category].score:
            best[label.category] = label
    return list(best.values())
