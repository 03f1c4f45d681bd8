"""The report's queries: a random sample of a split's sentences, searched in an album, with the hits drawn and
judged."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from find.data.data_split import DataSplit
from find.data.sample import Sentence
from find.evaluation.queries import Interleaving, SentenceQuery
from find.model.predictions import EntityMask
from find.query.query import Query
from find.quickstart.report import Answer, Example
from find.retrieval.album import Album, Hit
from find.visualization.drawing import Overlay, draw_overlays

PICTURE_SIDE = 360
"""Of an answer in the report, whose page shows it at about half of this: its tags are numbers, in large type."""


@dataclass(frozen=True)
class Question:
    """A query made of a sentence about one image, and the album's files that matter to it."""

    query: Query
    right: str
    lenders: frozenset[str]  # images that lend the query a region: they would be found by their own pixels


def draw_questions(folder: DataSplit, image_ids: Sequence[int], *, count: int, seed: int) -> list[Question]:
    """The first `count` sentences of a shuffled split that mix words with regions, at most one an image."""
    order = list(image_ids)
    random.Random(seed).shuffle(order)
    interleaving = Interleaving(seed=seed)
    questions = []
    for image_id in order:
        mixed = next((made for made in _queries(folder, image_id, interleaving) if len(set(made.is_region)) == 2), None)
        if mixed is not None and image_id not in mixed.owners:
            names = frozenset(_file_name(folder, owner) for owner in mixed.owners)
            questions.append(Question(mixed.query, _file_name(folder, image_id), names))
        if len(questions) == count:
            break
    return questions


def answer_questions(album: Album, questions: Sequence[Question], *, top: int = 5) -> list[Example]:
    """Searches all queries in one call; draws the best `top` hits and, if it is not among them, the right image."""
    ranking = album.search_all([question.query for question in questions], k=len(album))
    examples = []
    for question, hits in zip(questions, ranking, strict=True):
        hits = [hit for hit in hits if hit.path.name not in question.lenders]
        shown = list(enumerate(hits[:top], start=1))
        shown += [
            (rank, hit) for rank, hit in enumerate(hits, start=1) if rank > top and hit.path.name == question.right
        ]
        masks = album.ground(question.query, [hit for _, hit in shown])
        answers = [_draw(question, rank, hit, found) for (rank, hit), found in zip(shown, masks, strict=True)]
        examples.append(Example(question.query, answers[:top], missed=answers[top] if len(answers) > top else None))
    return examples


def _queries(folder: DataSplit, image_id: int, interleaving: Interleaving) -> list[SentenceQuery]:
    sentences: Sequence[Sentence] = folder.sentences_of(image_id)
    return [interleaving.query(sentence, folder) for sentence in sentences if len(sentence.phrases) >= 2]


def _file_name(folder: DataSplit, image_id: int) -> str:
    return folder.file_name(image_id)


def _draw(question: Question, rank: int, hit: Hit, masks: Sequence[EntityMask]) -> Answer:
    overlays = [Overlay(mask=found.mask, label=str(number)) for number, found in enumerate(masks, start=1)]
    picture = draw_overlays(hit.pixels(), overlays, min_side=PICTURE_SIDE, font_size=round(0.07 * PICTURE_SIDE))
    picture.thumbnail((PICTURE_SIDE, PICTURE_SIDE))
    return Answer(
        picture=picture,
        name=hit.path.name,
        rank=rank,
        score=hit.score,
        image_term=hit.image_term,
        entity_terms=hit.entity_terms,
        is_correct=hit.path.name == question.right,
    )
