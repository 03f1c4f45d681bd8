"""FIND: one embedding space over frozen vision and language models, for interleaved retrieval and segmentation."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from find.errors import CheckpointError, DataError, DivergenceError, FindError, InputError
    from find.evaluation.evaluate import evaluate
    from find.model.config import FINDConfig, InterfaceConfig
    from find.model.features import ImageFeatures
    from find.model.model import FIND
    from find.query.query import Phrase, Query, Region
    from find.retrieval.album import Album
    from find.retrieval.encoder import Encoder

__version__ = "0.2.0"
__all__ = [
    "FIND",
    "Album",
    "CheckpointError",
    "DataError",
    "DivergenceError",
    "Encoder",
    "FINDConfig",
    "FindError",
    "ImageFeatures",
    "InputError",
    "InterfaceConfig",
    "Phrase",
    "Query",
    "Region",
    "evaluate",
]

_HOME = {
    "FIND": "find.model.model",
    "Album": "find.retrieval.album",
    "Encoder": "find.retrieval.encoder",
    "FINDConfig": "find.model.config",
    "InterfaceConfig": "find.model.config",
    "CheckpointError": "find.errors",
    "DataError": "find.errors",
    "DivergenceError": "find.errors",
    "FindError": "find.errors",
    "InputError": "find.errors",
    "ImageFeatures": "find.model.features",
    "Phrase": "find.query.query",
    "Query": "find.query.query",
    "Region": "find.query.query",
    "evaluate": "find.evaluation.evaluate",
}


def __getattr__(name: str) -> object:
    """Imports on first use, so that `import find` and `findvl --help` do not wait for torch."""
    if name not in _HOME:
        raise AttributeError(f"module 'find' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
