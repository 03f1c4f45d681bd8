"""FIND-Bench's entity files (sentences whose phrases are linked to panoptic segments) and referring expressions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from find.data.dataset_issue import DatasetIssue, Report, Severity
from find.data.panoptic import PanopticTable
from find.data.records import has_words, read_document, whole_number
from find.data.sample import Expression, PhraseSpan, Reference, Sentence
from find.data.schema import (
    ExpressionDocument,
    ExpressionRecord,
    Number,
    PhraseRecord,
    ReferenceRecord,
    SentenceDocument,
    SentenceRecord,
)
from find.errors import FindError

error = partial(DatasetIssue, Severity.ERROR)
warning = partial(DatasetIssue, Severity.WARNING)


def read_sentences(path: Path, table: PanopticTable, report: Report) -> list[Sentence]:
    """The sentences of an entity file, in its order.

    Quirks of the published files that are accepted: `annotation_id` is an int or digits; a span may start with a space;
    `_start_idx` may be missing, and is used if `start_idx` is wrong; phrases may be unsorted, repeated, or share a
    segment. Phrases that refer to no segment of the image, or to a crowd region, are reported and left out, while their
    words stay in the sentence.

    Raises:
        FindError: the file is missing, is not JSON, or lacks its list of annotations.
    """
    document = read_document(path, SentenceDocument, report)
    if _of_another_split(document.annotations, path, table, report):
        return []
    sentences: list[Sentence] = []
    phrases = unknown = 0
    for number, record in enumerate(document.annotations):
        sentence_id, image_id, text = number if record.id is None else record.id, record.image_id, record.sentence
        item = f"sentence {f'number {number}' if record.id is None else record.id} of image {image_id}"
        crowd_by_id = table.crowd_by_id(image_id)
        if crowd_by_id is None:
            report(_unknown_image(path.name, item, image_id))
            continue
        if not has_words(text):
            report(error("empty sentence", path.name, item, "the sentence has no words", "Write it, or remove it"))
            continue
        found: list[PhraseSpan] = []
        for position, entry in enumerate(record.phrase):
            where = f"{item}, phrase {position + 1}"
            try:
                span = _span(entry, text, path.name, where, report)
                segment_ids = _segment_ids(entry.annotation_id)
                if not segment_ids:
                    raise ValueError("annotation_id is an empty list")
                reference = _reference(entry.reference, table, path.name, where, report)
            except FindError:  # what has been reported, where the report refuses
                raise
            except (KeyError, ValueError) as problem:
                report(_malformed(path.name, where, problem))
                continue
            if span is None:
                continue
            phrases += 1
            unknown += any(id not in crowd_by_id for id in segment_ids)
            usable = tuple(_usable(segment_ids, crowd_by_id, path.name, where, report))
            if usable:
                found.append(PhraseSpan(text[slice(*span)], *span, usable, reference))
        sentences.append(Sentence(sentence_id, image_id, text, _in_order(found, path.name, item, report)))
    if phrases >= 2 and unknown > phrases / 2:
        report(
            error("annotation ids of another data set", path.name, f"{unknown} of {phrases} phrases",
                  f"most annotation ids are not segments of {table.source}",
                  "Give the entity file and the panoptic file of one split", stops=True)
        )  # fmt: skip
    return sentences


def read_expressions(path: Path, table: PanopticTable, report: Report) -> list[Expression]:
    """Referring expressions: annotations of `id`, `image_id`, `segment_id`, `sentence` and maybe `held_out`.

    Raises:
        FindError: the file is missing, is not JSON, or lacks its list of annotations.
    """
    document = read_document(path, ExpressionDocument, report)
    if _of_another_split(document.annotations, path, table, report):
        return []
    expressions = []
    for number, record in enumerate(document.annotations):
        expression = Expression(
            id=number if record.id is None else record.id,
            image_id=record.image_id,
            text=record.sentence.strip(),
            segment_id=record.segment_id,
            held_out=bool(record.held_out),
        )
        item = f"expression {f'number {number}' if record.id is None else record.id} of image {record.image_id}"
        crowd_by_id = table.crowd_by_id(expression.image_id)
        if crowd_by_id is None:
            report(_unknown_image(path.name, item, expression.image_id))
        elif not has_words(expression.text):
            report(error("empty sentence", path.name, item, "the expression has no words", "Write it, or remove it"))
        elif list(_usable((expression.segment_id,), crowd_by_id, path.name, item, report)):
            expressions.append(expression)
    return expressions


def _of_another_split(
    records: Sequence[SentenceRecord | ExpressionRecord], path: Path, table: PanopticTable, report: Report
) -> bool:
    missing = sum(record.image_id not in table.rows for record in records)
    if missing <= len(records) / 2:
        return False
    report(
        error("entity file of another split", path.name, f"{missing} of {len(records)} sentences",
              f"their images are not in {table.source}", "Give the file and the images of one split", stops=True)
    )  # fmt: skip
    return True


def _span(entry: PhraseRecord, text: str, file: str, item: str, report: Report) -> tuple[int, int] | None:
    """[start, end) of the phrase without surrounding spaces; None (and a report) if the span is invalid."""
    words, end = entry.phrase, entry.end_idx
    starts = [start for start in (entry.start_idx, entry.other_start) if start is not None]
    if not starts:
        raise KeyError("start_idx")
    inside = [start for start in starts if 0 <= start < end <= len(text)]
    if not inside:
        report(
            error("span outside its sentence", file, item,
                  f'"{words}" is said to be characters {starts[0]} to {end} of a sentence of {len(text)}',
                  "Correct start_idx and end_idx", stops=True)
        )  # fmt: skip
        return None
    for start in inside:
        piece = text[start:end]
        if piece.split() == words.split() and words.split():
            return start + len(piece) - len(piece.lstrip()), end - len(piece) + len(piece.rstrip())
    report(
        error("phrase differs from its span", file, item,
              f'characters {inside[0]} to {end} of the sentence read "{text[inside[0]:end]}", not "{words}"',
              "Correct start_idx and end_idx")
    )  # fmt: skip
    return None


def _segment_ids(value: Number | list[Number]) -> tuple[int, ...]:
    """One id or a list of ids, each an int or digits."""
    return tuple(whole_number(id) for id in (value if isinstance(value, list) else [value]))


def _usable(
    segment_ids: tuple[int, ...], crowd_by_id: dict[int, bool], file: str, item: str, report: Report
) -> Iterator[int]:
    """The ids of segments of the image except crowds; others are reported."""
    for id in segment_ids:
        if id not in crowd_by_id:
            report(
                error("unknown annotation id", file, item, f"{id} is not a segment of the image",
                      "Correct the annotation id, or take the phrase out")
            )  # fmt: skip
        elif crowd_by_id[id]:
            report(
                warning("crowd annotation id", file, item, f"segment {id} is a crowd region, not one thing",
                        "Link the phrase to a single segment, or take it out")
            )  # fmt: skip
        else:
            yield id


def _reference(
    value: ReferenceRecord | None, table: PanopticTable, file: str, item: str, report: Report
) -> Reference | None:
    if value is None or (value.image_id is None and value.annotation_id is None):
        return None
    reference = Reference(whole_number(value.image_id), whole_number(value.annotation_id))
    crowd = (table.crowd_by_id(reference.image_id) or {}).get(reference.segment_id)
    if crowd is False:
        return reference
    what = "a crowd region" if crowd else "not a segment of the split"
    report(
        error("unusable reference", file, item,
              f"the reference (image {reference.image_id}, segment {reference.segment_id}) is {what}",
              "Correct the reference, or take it out")
    )  # fmt: skip
    return None


def _in_order(phrases: list[PhraseSpan], file: str, item: str, report: Report) -> tuple[PhraseSpan, ...]:
    """Sorted by start; equal spans are merged into one phrase; of overlapping ones the longer is used."""
    merged: dict[tuple[int, int], PhraseSpan] = {}
    for phrase in phrases:
        span = (phrase.start, phrase.end)
        known = merged.get(span)
        if known is not None:
            ids = tuple(dict.fromkeys(known.segment_ids + phrase.segment_ids))
            phrase = PhraseSpan(phrase.text, *span, ids, known.reference or phrase.reference)
        merged[span] = phrase
    kept: list[PhraseSpan] = []
    for phrase in sorted(merged.values(), key=lambda phrase: (phrase.start - phrase.end, phrase.start)):
        other = next((one for one in kept if one.start < phrase.end and phrase.start < one.end), None)
        if other is None:
            kept.append(phrase)
            continue
        report(
            error("overlapping phrases", file, item, f'"{phrase.text}" overlaps with "{other.text}"',
                  "Give each word to one phrase only")
        )  # fmt: skip
    return tuple(sorted(kept, key=lambda phrase: phrase.start))


def _unknown_image(file: str, item: str, image_id: int) -> DatasetIssue:
    return error(
        "unknown image", file, item, f"image {image_id} is not in the panoptic annotations", "Take the sentence out"
    )


def _malformed(file: str, item: str, problem: Exception) -> DatasetIssue:
    reason = f"the field {problem} is missing" if isinstance(problem, KeyError) else f"a field is wrong ({problem})"
    return error("malformed record", file, item, reason, "Write the record again", stops=True)
