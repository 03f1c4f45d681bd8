"""The exported parts of a model, with example inputs and dynamic sizes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim

from find.foundations.base import only_side
from find.integrations.export.asking import Reading
from find.integrations.export.halves import ImageHalf, QueryHalf, RegionHalf, ScoreHalf, SegmentHalf
from find.integrations.export.manifest import TensorInfo
from find.model.model import FIND
from find.query.query import Query

EXAMPLES = ("{a} on {a} beside {a}, {a}", "{a} and {a}")
"""Their words do not matter, but no size of theirs may be one that means something else, too."""
FEATURES = ("level_", "mask_features", "pooled", "aligned")


@dataclass(frozen=True)
class Graph:
    """One exported part.

    Attributes:
        name: of its file.
        arguments: an example of its inputs, tensors or dicts of them.
        sizes: which sizes may vary, in the form of the arguments (`torch.export`'s dynamic_shapes).
        inputs, outputs: names, in order.
    """

    name: str
    module: nn.Module
    arguments: tuple[Any, ...]
    sizes: tuple[Any, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def reading_of(model: FIND) -> Reading:
    """How queries become the tensors that this model's graphs take."""
    interface, language = model.interface, model.language
    paired = interface.residual is not None
    return Reading(
        tokenize=language.tokenize,
        placeholder=language.placeholder,
        region_points=interface.sampler.points,
        region_levels=len(interface.sampler.projections),
        width=interface.width,
        pooled_width=language.pooled_dim if paired else None,
        has_pair_term=interface.pair_term is not None,
    )


def graphs(model: FIND, *, entities: int) -> Iterator[Graph]:
    """All parts of a model; queries of the last two are padded to `entities` entities."""
    batch = Dim("batch", min=1, max=4096)
    pictures, extent = _pictures(model)
    canvas = _canvas(model)
    half = ImageHalf(model)
    yield _graph(
        "image",
        half,
        {"pictures": pictures, "extent": extent},
        {"pictures": {0: batch, **canvas}, "extent": {0: batch}},
    )

    with torch.no_grad():
        shown = half(pictures, extent)
    features = {name: x for name, x in shown.items() if name.startswith(FEATURES)}
    of_features = {name: _feature_sizes(name, x, batch) for name, x in features.items()}
    height, width = pictures.shape[-2:]
    regions = torch.zeros(len(pictures), 3, height, width, dtype=torch.bool)
    regions[..., height // 4 : height // 2, width // 4 :] = True
    region_sizes = {0: batch, 1: Dim("regions", min=1, max=256), 2: Dim.AUTO, 3: Dim.AUTO}
    arguments = {"features": features, "regions": regions}
    yield _graph("regions", RegionHalf(model), arguments, {"features": of_features, "regions": region_sizes})

    reading = reading_of(model)
    queries = [Query.parse(text) for text in EXAMPLES]
    words, count = reading.words(queries), Dim("entities", min=1, max=64)
    yield _graph(
        "query",
        QueryHalf(model),
        {"words": words},
        {"words": _word_sizes(words, Dim("queries", min=1, max=4096), count)},
    )

    words = reading.words(queries, entities=entities)
    segment_sizes = {"features": of_features, "extent": {0: batch}, "words": _word_sizes(words, batch, None)}
    arguments = {"features": features, "extent": extent, "words": words}
    yield _graph("segment", SegmentHalf(model), arguments, segment_sizes)

    if reading.has_pair_term:
        with torch.no_grad():
            query = {name: x[:1] for name, x in QueryHalf(model)(words).items()}
        query["entity_padding"] = words["entity_padding"][:1]
        vectors = {name: shown[name] for name in ("image", "objects", "boxes")}
        vectors["there"] = torch.ones(shown["objects"].shape[:2], dtype=torch.bool)
        count = Dim("objects", min=2, max=1024)
        sizes: dict[str, Any] = {name: {0: batch, 1: count} for name in vectors} | {"image": {0: batch}}
        yield _graph("score", ScoreHalf(model), vectors | {"query": query}, sizes | {"query": dict.fromkeys(query)})


def _graph(name: str, module: nn.Module, arguments: dict[str, Any], sizes: dict[str, Any]) -> Graph:
    # Copies, because the exporter would need the memory layout of a view's base.
    arguments = {
        key: {name: y.clone() for name, y in x.items()} if isinstance(x, dict) else x.clone()
        for key, x in arguments.items()
    }
    with torch.no_grad():
        outputs = tuple(module(*arguments.values()))
    inputs = tuple(key for name, x in arguments.items() for key in (x if isinstance(x, dict) else (name,)))
    return Graph(name, module.eval(), tuple(arguments.values()), tuple(sizes.values()), inputs, outputs)


def _pictures(model: FIND) -> tuple[Tensor, Tensor]:
    vision, resizing = model.vision, model.resizing
    only = only_side(vision)
    sides = (only, only) if only else (4 * resizing.divisor, 5 * resizing.divisor)
    pictures = torch.randint(0, 256, (2, 3, *sides), generator=torch.Generator().manual_seed(0))
    # A canvas of the mean colour has fractional values.
    pictures = pictures.to(torch.uint8) if resizing.colour is None else pictures.float()
    return pictures, torch.tensor([[1.0, 1.0], [1.0, 0.9]])


def _canvas(model: FIND) -> dict[int, Any]:
    """The sizes of a canvas: any multiples of the divisor, unless the vision encoder takes one size only."""
    if only_side(model.vision):
        return {}
    divisor = model.resizing.divisor
    return {2: divisor * Dim("rows", min=1, max=512), 3: divisor * Dim("columns", min=1, max=512)}


def _feature_sizes(name: str, x: Tensor, batch: Dim) -> dict[int, Any]:
    if name == "pooled":
        return {0: batch}
    places = (2, 3) if name == "mask_features" else (1, 2)
    return {0: batch} | dict.fromkeys(places, Dim.AUTO)


def _word_sizes(words: dict[str, Tensor], batch: Dim, entities: Dim | None) -> dict[str, Any]:
    sizes: dict[str, Any] = {}
    for name in words:
        sizes[name] = {0: batch}
        if name in ("ids", "padding", "entity"):
            sizes[name][1] = Dim.AUTO
        elif entities is not None:
            sizes[name][1] = entities + 1 if name.startswith("connection") else entities
        if name.startswith(("phrase", "connection")):
            sizes[name][2] = Dim.AUTO
    return sizes


def described(
    program: torch.export.ExportedProgram, graph: Graph
) -> tuple[tuple[TensorInfo, ...], tuple[TensorInfo, ...]]:
    """A graph's inputs and outputs, with the sizes that may vary by their names."""
    own = set(program.graph_signature.user_inputs)
    inputs = [node.meta["val"] for node in program.graph.nodes if node.op == "placeholder" and node.name in own]
    outputs = [node.meta["val"] for node in program.graph.find_nodes(op="output")[0].args[0]]
    leaves = [row for part in graph.sizes for row in _rows(part)]
    symbols: dict[Any, str] = {}
    for tensor, sizes in zip(inputs, leaves, strict=True):
        for place, size in (sizes or {}).items():
            expression = getattr(getattr(tensor.shape[place], "node", None), "expr", None)
            name = getattr(getattr(size, "root", size), "__name__", None)
            if expression is not None and name is not None and len(expression.free_symbols) == 1:
                symbols.setdefault(*expression.free_symbols, name)

    def named(names: tuple[str, ...], tensors: list[Tensor]) -> tuple[TensorInfo, ...]:
        rows = zip(names, tensors, strict=True)
        return tuple(
            TensorInfo(name, str(x.dtype).removeprefix("torch."), tuple(_size(side, symbols) for side in x.shape))
            for name, x in rows
        )

    return named(graph.inputs, inputs), named(graph.outputs, outputs)


def _rows(sizes: Any) -> list[dict[int, Any] | None]:
    """Of an argument's tensors one by one."""
    if isinstance(sizes, dict) and all(isinstance(key, str) for key in sizes) and sizes:
        return list(sizes.values())
    return [sizes]


def _size(side: int | torch.SymInt, symbols: dict[Any, str]) -> int | str:
    if isinstance(side, int):
        return side
    expression = side.node.expr
    if not expression.free_symbols <= symbols.keys():
        return "*"
    return str(expression.xreplace({s: type(s)(symbols[s], integer=True) for s in expression.free_symbols}))
