"""Writes a model's exported parts into a folder: graphs, tokenizer, manifest and README."""

from __future__ import annotations

import logging
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path

import torch
from safetensors.torch import save_file

from find.errors import FindError, InputError
from find.foundations.tokenization import TextTokenizer
from find.integrations.export.graphs import Graph, described, graphs, reading_of
from find.integrations.export.manifest import MANIFEST, PAIR_TERM, TOKENIZER, GraphFile, Manifest
from find.integrations.export.readme import readme
from find.model.model import FIND

OPSET = 20
ENTITIES = 6
"""Places for entities in the segmentation and the score graph."""


class Format(str, Enum):
    """Of the graphs' files: ONNX, or programs of `torch.export`."""

    ONNX = "onnx"
    TORCH = "torch"

    @property
    def suffix(self) -> str:
        return ".onnx" if self is Format.ONNX else ".pt2"


def write_model(
    model: FIND, out: str | Path, *, form: Format = Format.ONNX, entities: int = ENTITIES, name: str = ""
) -> Iterator[str]:
    """Writes all parts of a model into a new folder; yields the name of each file before writing it.

    Args:
        model: in float32, on the CPU.
        entities: how many entities a query of the segmentation and of the score graph may have.
        name: what to call the model in messages.

    Raises:
        InputError: the folder exists, the model is not in float32, or its tokenizer has no file.
        FindError: a part cannot be exported; the message names the operator.
    """
    out = Path(out)
    if out.exists():
        raise InputError(f"{out} exists already; name a new folder, or remove it first")
    dtypes = {p.dtype for p in model.parameters() if p.is_floating_point()}
    if dtypes != {torch.float32}:
        raise InputError(f"the model is in {', '.join(sorted(map(str, dtypes)))}; export it in float32 (dtype=float32)")
    tokenizer = model.language.tokenize
    if not isinstance(tokenizer, TextTokenizer):
        raise InputError(
            f"{model.language.spec} cannot be exported: its tokenizer is not one of the tokenizers library"
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    with _completed(out) as folder:
        files: list[GraphFile] = []
        for graph in graphs(model, entities=entities):
            file = graph.name + form.suffix
            yield file
            program = write_graph(graph, folder / file, form)
            files.append(GraphFile(graph.name, file, *described(program, graph)))
        tokenizer.backend.save(str(folder / TOKENIZER))
        if model.interface.pair_term is not None:
            save_file(model.interface.pair_term.state_dict(), folder / PAIR_TERM)
        manifest = Manifest.of(model, reading_of(model), form.value, OPSET, entities, name, tuple(files))
        (folder / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
        (folder / "README.md").write_text(readme(manifest), encoding="utf-8")


@contextmanager
def _completed(out: Path) -> Iterator[Path]:
    """A temporary folder that is renamed to `out` when complete, and deleted on failure."""
    folder = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        yield folder
        folder.chmod(0o755)
        folder.rename(out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_graph(graph: Graph, file: Path, form: Format) -> torch.export.ExportedProgram:
    """One part's file. Raises FindError, naming the operator, if it cannot be exported."""
    try:
        with torch.no_grad():
            program = torch.export.export(graph.module, graph.arguments, dynamic_shapes=graph.sizes, strict=False)
        if form is Format.TORCH:
            torch.export.save(program, file)
        else:
            _write_onnx(program, graph, file)
        return program
    except FindError:
        raise
    except Exception as error:  # exporters let any exception of a foundation's operators through
        raise FindError(f"the {graph.name} graph cannot be exported: {_reason(error)}") from error


def _write_onnx(program: torch.export.ExportedProgram, graph: Graph, file: Path) -> None:
    from find.integrations.export.onnx_operators import TRANSLATIONS

    with _quiet("onnxscript", "onnx_ir", "torch.onnx"):
        exported = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=OPSET,
            input_names=graph.inputs,
            output_names=graph.outputs,
            custom_translation_table=TRANSLATIONS,
            optimize=False,  # this takes minutes, and ONNX Runtime does it in a second when it loads the graph
            verbose=False,
        )
        exported.save(file)


def _reason(error: Exception) -> str:
    """The operator that an exporter cannot translate, or the first line of its message."""
    text = "\n".join(str(cause) for cause in _causes(error))
    unknown = re.search(r"No ONNX function found for <OpOverload\(op='([\w.]+)', overload='(\w+)'\)>", text)
    if unknown:
        return f"ONNX has no translation of the operator {unknown[1]}.{unknown[2]}"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


@contextmanager
def _quiet(*names: str) -> Iterator[None]:
    """Silences the exporters' log messages about each folded operator."""
    loggers = [logging.getLogger(name) for name in names]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
