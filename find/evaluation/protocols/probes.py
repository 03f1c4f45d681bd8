"""Compositional probes: does the true sentence beat a false one that recombines the same units?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from find.data.data_split import DataSplit
from find.data.false_sentences import Probe, phrase_swaps
from find.data.sample import Sentence
from find.evaluation.gallery import ImageGallery, embed_gallery, embed_queries
from find.evaluation.probe_results import MODES, ProbeAnswer, ProbeResult
from find.evaluation.protocols.interleaved_retrieval import ENTITY_WEIGHT
from find.evaluation.queries import EntityMode, Interleaving
from find.evaluation.scores import own_scores, sentence_terms
from find.evaluation.system import QueryEmbedder
from find.evaluation.task_results import MissingAnnotations


def probes(
    model: QueryEmbedder,
    folder: DataSplit,
    *,
    image_ids: Sequence[int] | None = None,
    entity_weight: float = ENTITY_WEIGHT,
    seed: int = 0,
    embeddings: ImageGallery | None = None,
    batch_size: int = 32,
    progress: bool = False,
) -> ProbeResult:
    """Scores a true and a false sentence with their image; the false one swaps two entities, swaps an attribute of two
    entities, or reverses a relation. Queries are words, regions, or a random mixture; sentences of further forms
    (places, "between", ...), if the data have them, are queried by words.

    Regions come from other images, and an entity is a region in both sentences of a probe or in neither. Sentences are
    compared by their ranking score (`find.evaluation.scores`). The published score ignores order, so for swapped
    entities its entity term helps only as far as an entity's vector depends on its sentence.

    Args:
        image_ids: the images; all of the split if not given.
        seed: seed of the mixture.
        embeddings: existing embeddings of the images.

    Raises:
        MissingAnnotations: no sentence of these images allows a probe.
    """
    image_ids = folder.image_ids if image_ids is None else image_ids
    wanted = set(image_ids)
    made = list(folder.probes())
    is_exact = bool(made)
    if not is_exact:
        made = [probe for sentence in folder.sentences for probe in phrase_swaps(sentence)]
    made = [probe for probe in made if probe.truth.image_id in wanted]
    if not made:
        raise MissingAnnotations(
            f"{folder.root}: no probe, because there is no probes_{folder.split}.json and no sentence of these images "
            "has two linked phrases that could be exchanged"
        )
    forms = [probe for probe in folder.form_probes() if probe.truth.image_id in wanted] if is_exact else []
    asked = list(dict.fromkeys(probe.truth.image_id for probe in [*made, *forms]))
    options = {"batch_size": batch_size, "progress": progress}
    gallery = embed_gallery(model, folder, asked, **options) if embeddings is None else embeddings.of(asked)
    row_of = {image_id: row for row, image_id in enumerate(asked)}
    answers: list[ProbeAnswer] = []
    for mode in MODES:
        these = [*made, *forms] if mode is EntityMode.TEXT else made
        rows = [row_of[probe.truth.image_id] for probe in these for _ in range(2)]
        sentences = [sentence for probe in these for sentence in as_asked(probe, Interleaving(mode, seed=seed))]
        queries = embed_queries(model, folder, sentences, Interleaving(EntityMode.VISUAL), **options)
        combined = own_scores(gallery, rows, queries, entity_weight=entity_weight)
        sentence_term = sentence_terms(gallery, rows, queries)
        for number, probe in enumerate(these):
            true, false = 2 * number, 2 * number + 1
            answers.append(
                ProbeAnswer(
                    image_id=probe.truth.image_id,
                    sentence_id=probe.truth.id,
                    mode=mode,
                    change=probe.change,
                    combined=float(combined[true]) - float(combined[false]),
                    sentence_term=float(sentence_term[true]) - float(sentence_term[false]),
                    form=probe.form,
                )
            )
    return ProbeResult(answers=tuple(answers), is_exact=is_exact, images=len({probe.truth.image_id for probe in made}))


def as_asked(probe: Probe, interleaving: Interleaving) -> tuple[Sentence, Sentence]:
    """The true and the false sentence, with references only for entities that can be regions in both."""
    shown = [place is not None for place in interleaving.places(probe.truth)]
    both = {k for k, phrase in zip(probe.origin, probe.false.phrases, strict=True) if shown[k] and phrase.reference}
    truth = tuple(p if k in both else replace(p, reference=None) for k, p in enumerate(probe.truth.phrases))
    false = tuple(
        p if k in both else replace(p, reference=None) for k, p in zip(probe.origin, probe.false.phrases, strict=True)
    )
    return replace(probe.truth, phrases=truth), replace(probe.false, phrases=false)
