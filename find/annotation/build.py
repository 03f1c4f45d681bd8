"""`findvl bench build`: entity files of FIND-Bench for a data set in COCO's layout."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from find.annotation.instances import write_panoptic
from find.annotation.lexicon import Lexicon
from find.annotation.linking import link, spans_as_json
from find.annotation.references import nearest, segment_features
from find.data.class_sentences import describe
from find.data.coco import CocoFolder, annotations_folder, read_captions
from find.data.dataset_issue import DatasetIssue, Report
from find.data.find_bench import read_sentences
from find.data.sample import PhraseSpan, Segment
from find.errors import DataError, InputError, printable
from find.foundations.base import VisionEncoder


@dataclass(frozen=True)
class ImageFacts:
    """The information about an image that a caption writer gets."""

    image_id: int
    file: Path
    size: tuple[int, int]  # height, width
    segments: tuple[Segment, ...]
    class_names: Mapping[int, str]  # by category id


CaptionWriter = Callable[[ImageFacts], Sequence[str]]
"""A hook for a language model: returns captions of an image, whose nouns are linked like those of a caption file."""


@dataclass(frozen=True)
class Built:
    """The file that was written, with statistics of sentences and nouns."""

    path: Path
    images: int
    sentences: int
    phrases: int
    references: int
    counts: Mapping[str, int]
    notes: tuple[str, ...] = ()
    """Omitted or doubtful instances: a line per kind, with the number and the first of them."""

    def to_text(self) -> str:
        left_out = "\n".join(f"{count:>7}  {what}" for what, count in sorted(self.counts.items(), key=lambda i: -i[1]))
        return (
            f"{printable(str(self.path))}: {self.sentences} sentences of {self.images} images, {self.phrases} phrases, "
            f"{self.references} of them with a reference\n{left_out}" + "".join(f"\n{line}" for line in self.notes)
        )


def build(
    root: Path,
    *,
    split: str = "val2017",
    out: Path | None = None,
    captions: Path | CaptionWriter | None = None,
    synonyms: Mapping[str, Sequence[str]] | None = None,
    encoder: VisionEncoder | None = None,
    skip_near: int = 0,
    name: str | None = None,
    progress: bool = True,
) -> Built:
    """Writes annotations/entity_{split}.json: sentences whose phrases are linked to segments, with references.

    Sentences are the image's captions, those with the most links first; images without a linked caption get a sentence
    from a template. The same data and encoder give the same file.

    Args:
        root: a folder in COCO's layout with panoptic or at least instance annotations.
        out: a new folder for the result, with links to the images and maps; `root` itself if not given.
        captions: a file in COCO's caption format, or a function that writes captions of an image; by default
            captions_{split}.json if it exists.
        synonyms: more nouns for classes, by the class's plain name.
        encoder: the vision encoder whose features choose the references; without one there are none.
        skip_near: take no reference from images within this distance in the order of the split (frames of a video).
        name: the file's name without .json; entity_{split} if not given.

    Raises:
        FindError: the folder cannot be used, the file exists already, or the result does not pass the reader's checks.
    """
    root = Path(root)
    if skip_near < 0:
        raise InputError(f"skip_near is a number of images, not {skip_near}")
    issues: list[DatasetIssue] = []
    with ExitStack() as undo:  # a failed run leaves nothing that a later one would reuse
        target = _folder(root, out, split, issues.append, undo, progress=progress)
        path = target / "annotations" / f"{name or f'entity_{split}'}.json"
        if path.exists():
            raise InputError(f"{path}: the file exists already; give another name, or another folder with out")
        folder = CocoFolder(target, split, entities=None)
        lexicon = Lexicon.of(folder.categories, synonyms)
        counts: Counter[str] = Counter()
        texts = _captions(folder, captions, counts)
        sentences: list[tuple[int, str, tuple[PhraseSpan, ...]]] = []
        for image_id in folder.image_ids:
            own = list(_sentences(folder, image_id, texts(image_id), lexicon, counts))
            sentences += [(image_id, text, phrases) for text, phrases in own]
        if encoder is not None:
            features = segment_features(folder, encoder, progress=progress)
            lent = nearest(features, folder.image_ids, skip=skip_near)
            sentences = [
                (image_id, text, tuple(replace(p, reference=lent.get((image_id, p.segment_ids[0]))) for p in phrases))
                for image_id, text, phrases in sentences
            ]
        undo.callback(path.unlink, missing_ok=True)
        _write(path, folder, sentences)
        _check(path, folder)
        undo.pop_all()
    return Built(
        path=path,
        images=len({image_id for image_id, _, _ in sentences}),
        sentences=len(sentences),
        phrases=sum(len(phrases) for _, _, phrases in sentences),
        references=sum(phrase.reference is not None for _, _, phrases in sentences for phrase in phrases),
        counts=dict(counts),
        notes=tuple(issue_lines(issues)),
    )


def _folder(root: Path, out: Path | None, split: str, report: Report, undo: ExitStack, *, progress: bool) -> Path:
    """The folder of the result, with panoptic maps in it; `undo` removes what was written."""
    annotations = annotations_folder(root)
    target = root if out is None else Path(out)
    if target != root:
        if target.exists() and any(target.iterdir()):
            raise InputError(f"{target} is not an empty folder: remove it, or choose another one")
        undo.callback(shutil.rmtree, target, ignore_errors=True)  # links in it are removed, not followed
        (target / "annotations").mkdir(parents=True)
        for place in sorted(root.iterdir()):
            if place.name != "annotations":
                (target / place.name).symlink_to(place.resolve())
        for place in sorted(annotations.glob(f"*_{split}*")):
            if place.is_file() and not place.name.startswith(("entity_", "interleave_")):
                shutil.copy(place, target / "annotations" / place.name)
    panoptic = target / "annotations" / f"panoptic_{split}.json"
    if not panoptic.exists():
        write_panoptic(target, split, target, report, progress=progress)
        undo.callback(shutil.rmtree, target / f"panoptic_{split}", ignore_errors=True)
        undo.callback(panoptic.unlink, missing_ok=True)
    return target


def issue_lines(issues: Sequence[DatasetIssue]) -> list[str]:
    """One line per kind, with the number of issues and the first of them."""
    counts = Counter(issue.kind for issue in issues)
    first = {issue.kind: issue for issue in reversed(issues)}
    return [f"left out or doubtful: {kind}, {count:,} times; first: {first[kind]}" for kind, count in counts.items()]


def _captions(
    folder: CocoFolder, captions: Path | CaptionWriter | None, counts: Counter[str]
) -> Callable[[int], Sequence[str]]:
    if captions is None:
        return folder.captions_of
    if callable(captions):
        names = {category.id: category.words for category in folder.categories}

        def written(image_id: int) -> Sequence[str]:
            file = folder.images.path / folder.images.own(folder.table.file_names[folder.position(image_id)])
            return captions(ImageFacts(image_id, file, folder.image_size(image_id), folder.segments(image_id), names))

        return written

    def refuse_or_count(issue: DatasetIssue) -> None:
        if issue.stops:
            raise issue.error()
        counts[issue.kind] += 1

    read = read_captions(Path(captions), folder.table, refuse_or_count)
    return lambda image_id: read.get(image_id, ())


def _sentences(
    folder: CocoFolder, image_id: int, captions: Sequence[str], lexicon: Lexicon, counts: Counter[str]
) -> Iterator[tuple[str, tuple[PhraseSpan, ...]]]:
    """The linked captions of an image, most links first, or a sentence from a template."""
    segments = folder.segments(image_id)
    linked = []
    for caption in dict.fromkeys(" ".join(caption.split()) for caption in captions):
        phrases = link(caption, segments, folder.categories, lexicon, counts)
        if phrases:
            linked.append((caption, phrases))
        else:
            counts["caption without a link"] += 1
    yield from sorted(linked, key=lambda item: -len(item[1]))
    if not linked:
        described = describe(segments, folder.categories, folder.image_size(image_id))
        if described is not None:
            counts["sentence by a template"] += 1
            yield described
        else:
            counts["image without a sentence"] += 1


def _write(path: Path, folder: CocoFolder, sentences: Sequence[tuple[int, str, tuple[PhraseSpan, ...]]]) -> None:
    """Writes FIND-Bench's own layout."""
    kept = {image_id for image_id, _, _ in sentences}
    images = []
    for image_id in folder.image_ids:
        if image_id in kept:
            height, width = folder.image_size(image_id)
            name = folder.table.file_names[folder.position(image_id)]
            images.append({"id": image_id, "file_name": name, "height": height, "width": width})
    annotations: list[dict[str, Any]] = []
    for number, (image_id, text, phrases) in enumerate(sentences, start=1):
        records = spans_as_json(text, phrases)
        raw, done = "", 0
        for phrase, record in zip(phrases, records, strict=True):
            raw += text[done : phrase.start] + str(record["phrase_raw"])
            done = phrase.end
        annotations.append(
            {"id": number, "image_id": image_id, "sentence": text, "sentence_raw": raw + text[done:], "phrase": records}
        )
    unfinished = path.with_suffix(".part")
    unfinished.write_text(json.dumps({"images": images, "annotations": annotations}) + "\n", encoding="utf-8")
    unfinished.replace(path)


def _check(path: Path, folder: CocoFolder) -> None:
    """Reads the file back; any issue is a bug of this program, and is reported."""
    issues: list[DatasetIssue] = []
    read_sentences(path, folder.table, issues.append)
    if issues:
        raise DataError(f"{path} was written, but is not as it should be: {issues[0]}")
