"""FIND: one embedding space over frozen vision and language models, for interleaved retrieval and segmentation."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from find.annotation.labelling.labelling import label
    from find.annotation.labelling.labels import Label, LabelledPhoto, Labels
    from find.data.data_split import DataSplit
    from find.errors import CheckpointError, DataError, DivergenceError, FindError, InputError, UnknownWordsWarning
    from find.evaluation.evaluate import evaluate
    from find.evaluation.queries import Interleaving
    from find.evaluation.results import Evaluation
    from find.foundations import LanguageEncoder, VisionEncoder
    from find.model.class_sets import ClassSet
    from find.model.config import FINDConfig, InterfaceConfig
    from find.model.features import ImageFeatures
    from find.model.model import FIND
    from find.model.predictions import (
        EntityMask,
        ImageEmbeddings,
        InstancePrediction,
        PanopticPrediction,
        PredictedSegment,
        QueryEmbeddings,
    )
    from find.query.operators import JoinedQuery
    from find.query.query import Phrase, Query, Region
    from find.retrieval.album import Album
    from find.retrieval.encoder import Encoder
    from find.retrieval.exemplars import more_like
    from find.retrieval.hits import ConnectionFit, Hit, Objects, ScorePart
    from find.retrieval.indexing import IndexReport
    from find.retrieval.photos import Skipped
    from find.retrieval.writing import IndexSettings

__version__ = "0.2.0"
__all__ = [
    "FIND",
    "Album",
    "CheckpointError",
    "ClassSet",
    "ConnectionFit",
    "DataError",
    "DataSplit",
    "DivergenceError",
    "Encoder",
    "EntityMask",
    "Evaluation",
    "FINDConfig",
    "FindError",
    "Hit",
    "ImageEmbeddings",
    "ImageFeatures",
    "IndexReport",
    "IndexSettings",
    "InputError",
    "InstancePrediction",
    "InterfaceConfig",
    "Interleaving",
    "JoinedQuery",
    "Label",
    "LabelledPhoto",
    "Labels",
    "LanguageEncoder",
    "Objects",
    "PanopticPrediction",
    "Phrase",
    "PredictedSegment",
    "Query",
    "QueryEmbeddings",
    "Region",
    "ScorePart",
    "Skipped",
    "UnknownWordsWarning",
    "VisionEncoder",
    "evaluate",
    "label",
    "more_like",
]

_HOME = {
    "FIND": "find.model.model",
    "Album": "find.retrieval.album",
    "CheckpointError": "find.errors",
    "ClassSet": "find.model.class_sets",
    "ConnectionFit": "find.retrieval.hits",
    "DataError": "find.errors",
    "DataSplit": "find.data.data_split",
    "DivergenceError": "find.errors",
    "Encoder": "find.retrieval.encoder",
    "EntityMask": "find.model.predictions",
    "Evaluation": "find.evaluation.results",
    "FINDConfig": "find.model.config",
    "FindError": "find.errors",
    "Hit": "find.retrieval.hits",
    "ImageEmbeddings": "find.model.predictions",
    "ImageFeatures": "find.model.features",
    "IndexReport": "find.retrieval.indexing",
    "IndexSettings": "find.retrieval.writing",
    "InputError": "find.errors",
    "InstancePrediction": "find.model.predictions",
    "InterfaceConfig": "find.model.config",
    "Interleaving": "find.evaluation.queries",
    "JoinedQuery": "find.query.operators",
    "Label": "find.annotation.labelling.labels",
    "LabelledPhoto": "find.annotation.labelling.labels",
    "Labels": "find.annotation.labelling.labels",
    "LanguageEncoder": "find.foundations",
    "Objects": "find.retrieval.hits",
    "PanopticPrediction": "find.model.predictions",
    "Phrase": "find.query.query",
    "PredictedSegment": "find.model.predictions",
    "Query": "find.query.query",
    "QueryEmbeddings": "find.model.predictions",
    "Region": "find.query.query",
    "ScorePart": "find.retrieval.hits",
    "Skipped": "find.retrieval.photos",
    "UnknownWordsWarning": "find.errors",
    "VisionEncoder": "find.foundations",
    "evaluate": "find.evaluation.evaluate",
    "label": "find.annotation.labelling.labelling",
    "more_like": "find.retrieval.exemplars",
}

_EXTRA = {"retrieval": "album", "evaluation": "evaluate"}
"""Subpackages whose names need an extra (pyproject.toml)."""


def __getattr__(name: str) -> object:
    """Imports on first use, so that `import find` and `findvl --help` do not wait for torch."""
    if name not in _HOME:
        raise AttributeError(f"module 'find' has no attribute {name!r}")
    from find.utils.extras import extra

    module = _HOME[name]
    with extra(_EXTRA.get(module.split(".")[1], "all"), f"find.{name}"):
        return getattr(import_module(module), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
