"""The image graph in 8-bit integers, for processors: weights alone, or activations, too, calibrated on photographs."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import torch

from find.errors import InputError
from find.images.images import read_image, read_size
from find.integrations.export.manifest import MANIFEST, Manifest
from find.integrations.export.readme import readme

MOST = 64
"""Pictures that calibration looks at."""


def quantize(folder: str | Path, *, photos: str | Path | Sequence[str | Path] | None = None) -> None:
    """Replaces the image graph of an exported folder by one in int8.

    Args:
        photos: a folder of pictures, or pictures, like those that will be embedded: they set the ranges of activations
            (static quantisation). None: ranges are found at each call (dynamic), and convolutions stay as they are.

    Raises:
        InputError: the graph is quantised already, or there is no picture.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quant_pre_process, quantize_dynamic, quantize_static

    folder = Path(folder)
    manifest = Manifest.read(folder)
    if manifest.quantized:
        raise InputError(f"{folder}: its image graph is {manifest.quantized} already")
    graph = manifest.graph("image")
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        prepared, small = Path(temporary) / "prepared.onnx", Path(temporary) / graph.file
        quant_pre_process(str(folder / graph.file), str(prepared), skip_symbolic_shape=True)
        if photos is None:
            quantize_dynamic(prepared, small, weight_type=QuantType.QInt8, op_types_to_quantize=["MatMul", "Gemm"])
            how = "in int8 (dynamic)"
        else:
            pictures = _Pictures(manifest, _files(photos))
            quantize_static(
                prepared,
                small,
                pictures,
                quant_format=QuantFormat.QDQ,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                per_channel=True,
                op_types_to_quantize=["Conv", "MatMul", "Gemm"],
            )
            how = f"in int8 (static, {pictures.total} pictures)"
        small.replace(folder / graph.file)
    for leftover in folder.glob(f"{graph.file}.data"):
        leftover.unlink()
    manifest = msgspec.structs.replace(manifest, quantized=how)
    (folder / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
    (folder / "README.md").write_text(readme(manifest), encoding="utf-8")


def _files(photos: str | Path | Sequence[str | Path]) -> list[str | Path]:
    if not isinstance(photos, (str, Path)):
        return list(photos)[:MOST]
    from find.retrieval.photos import find_files

    found = [file.file for file in find_files(photos).files if not file.is_video]
    step = max(1, len(found) // MOST)  # spread over the folder, whose neighbours are alike
    return found[::step][:MOST]


class _Pictures:
    """A `CalibrationDataReader`: pictures as the image graph takes them, one after the other."""

    def __init__(self, manifest: Manifest, files: Sequence[str | Path]) -> None:
        if not files:
            raise InputError("no pictures to calibrate with; name a folder that has some")
        self.resizing, self.files, self.total = manifest.canvas.resizing(), list(files), len(files)

    def get_next(self) -> dict[str, np.ndarray] | None:
        if not self.files:
            return None
        file = self.files.pop(0)
        frame = self.resizing.fit(*read_size(file))
        picture = frame.place(read_image(file))
        return {"pictures": picture[None].numpy(), "extent": torch.tensor([frame.extent]).numpy()}
