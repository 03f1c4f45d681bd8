"""The manifest of an exported folder, with which a reader checks completeness and identifies the model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from find.errors import CheckpointError
from find.images.canvas import Resizing

if TYPE_CHECKING:
    from find.integrations.export.asking import Reading
    from find.model.model import FIND

FORMAT = 1
MANIFEST, TOKENIZER, PAIR_TERM = "export.json", "tokenizer.json", "pair_term.safetensors"


class TensorInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An input or output; names and formulas in its shape are dynamic sizes, `*` is any size."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]


class GraphFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One graph: its file, and its inputs and outputs in order."""

    name: str
    file: str
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]


class ReadingSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How queries become tensors; see `find.integrations.export.asking.Reading`."""

    placeholder: str
    context_length: int
    padding_id: int
    unknown_id: int | None
    text_width: int
    region_points: int
    region_levels: int
    width: int
    pooled_width: int | None
    pair_width: int | None


class Canvas(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a picture enters the image graph; see `find.images.canvas.Resizing`."""

    shortest: int
    longest: int
    divisor: int
    colour: tuple[float, float, float] | None
    bicubic: bool

    def resizing(self) -> Resizing:
        return Resizing(self.shortest, self.longest, self.divisor, colour=self.colour, bicubic=self.bicubic)


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything but the weights and the tokenizer.

    `fingerprint` is the model's, so an album made by an export is one made by its model. `quantized` says how the
    image graph was quantised; None: not at all.
    """

    format: int
    model: str
    fingerprint: str
    form: str
    opset: int
    entities: int
    semantic_width: int
    canvas: Canvas
    reading: ReadingSettings
    graphs: tuple[GraphFile, ...]
    quantized: str | None = None

    @classmethod
    def of(
        cls,
        model: FIND,
        reading: Reading,
        form: str,
        opset: int,
        entities: int,
        name: str,
        graphs: tuple[GraphFile, ...],
    ) -> Manifest:
        tokenize, resizing, interface = reading.tokenize, model.resizing, model.interface
        settings = ReadingSettings(
            placeholder=reading.placeholder,
            context_length=tokenize.context_length,
            padding_id=tokenize.padding_id,
            unknown_id=tokenize.unknown_id,
            text_width=model.language.width,
            region_points=reading.region_points,
            region_levels=reading.region_levels,
            width=reading.width,
            pooled_width=reading.pooled_width,
            pair_width=model.config.interface.pair_width if reading.has_pair_term else None,
        )
        colour = None if resizing.colour is None else tuple(resizing.colour)
        canvas = Canvas(resizing.shortest, resizing.longest, resizing.divisor, colour, resizing.bicubic)
        width = interface.heads.semantic.out_features
        return cls(FORMAT, name, model.fingerprint, form, opset, entities, width, canvas, settings, graphs)

    def to_json(self) -> str:
        return msgspec.json.format(msgspec.json.encode(self), indent=2).decode() + "\n"

    def graph(self, name: str) -> GraphFile:
        return next(graph for graph in self.graphs if graph.name == name)

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Raises CheckpointError if the folder is not an export, has another format version, or lacks a file."""
        file = folder / MANIFEST
        again = "export the model again with: findvl export model"
        if not file.is_file():
            raise CheckpointError(
                f"{folder} is not an exported model ({MANIFEST} is missing); make one with: findvl export model"
            )
        try:
            text = file.read_bytes()
            number = msgspec.json.decode(text, type=_Format).format
            if number != FORMAT:
                raise CheckpointError(f"{file}: format {number}, but this version reads format {FORMAT}; {again}")
            manifest = msgspec.json.decode(text, type=cls)
        except msgspec.MsgspecError as error:
            raise CheckpointError(f"{file} is damaged ({error}); {again}") from error
        needed = [TOKENIZER, *(graph.file for graph in manifest.graphs)]
        needed += [PAIR_TERM] if manifest.reading.pair_width else []
        for name in needed:
            if not (folder / name).is_file():
                raise CheckpointError(f"{folder}: {name} is missing; {again}")
        return manifest


class _Format(msgspec.Struct):
    format: int
