"""`findvl export model`: a model's halves as graphs for ONNX Runtime or torch.export."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from find.cli.arguments import add_command, positive, seconds
from find.errors import InputError
from find.utils.extras import extra

HELP = """\
Images and queries are embedded by separate graphs: image, regions, query, segment and, for models with a pair term,
score. The folder's README.md describes the inputs and outputs of each, with examples in Python and JavaScript. ONNX
needs: pip install 'findvl[onnx]'

--int8 quantises the image graph: dynamic (matrix products, with activation ranges found at each call) or static
(convolutions as well, with fixed activation ranges, calibrated on the photos of --calibration)

examples:
  findvl export model find-tiny exported
  findvl export model find-tiny exported-int8 --int8 static --calibration ~/Pictures
  findvl index ~/Pictures pictures.album --engine onnx --weights exported
"""


def add_model_export(commands: argparse._SubParsersAction) -> None:
    parser = add_command(commands, "model", "write a model's halves as ONNX or torch.export graphs", HELP)
    parser.add_argument("model", help="a shipped name or a saved folder")
    parser.add_argument("out", type=Path, help="the new folder")
    parser.add_argument(
        "--format", choices=("onnx", "torch"), default="onnx", help="format of the graphs (default: %(default)s)"
    )
    parser.add_argument(
        "--entities", type=positive, default=6, help="maximum number of entities of a query (default: %(default)s)"
    )
    parser.add_argument("--int8", choices=("dynamic", "static"), help="quantise the image graph (ONNX)")
    parser.add_argument(
        "--calibration", type=Path, metavar="PHOTOS", help="for --int8 static: a folder of a few dozen photos"
    )
    parser.set_defaults(run=export_model)


def export_model(arguments: argparse.Namespace) -> int:
    """`findvl export model`: writes the graphs, the tokenizer and a README."""
    from find.model.location import model_folder

    model_folder(arguments.model)
    if arguments.format == "torch" and arguments.int8:
        raise InputError("--int8 works with ONNX only; drop --format torch or --int8")
    if (arguments.int8 == "static") != (arguments.calibration is not None):
        raise InputError("--int8 static and --calibration PHOTOS belong together: its pictures set the ranges")
    with extra("onnx", "findvl export model"):
        if arguments.format == "onnx":
            import onnx  # noqa: F401  torch's exporter needs all three
            import onnxruntime  # noqa: F401
            import onnxscript  # noqa: F401

        from find.integrations.export.quantizing import quantize
        from find.integrations.export.writing import Format, write_model
    from find.model.model import FIND

    begin = time.perf_counter()
    model = FIND.from_pretrained(arguments.model, device="cpu").eval()
    for file in write_model(
        model, arguments.out, form=Format(arguments.format), entities=arguments.entities, name=arguments.model
    ):
        print(f"{file} ...", flush=True)
    if arguments.int8:
        print(f"int8, {arguments.int8} ...", flush=True)
        quantize(arguments.out, photos=arguments.calibration)
    size = sum(file.stat().st_size for file in arguments.out.iterdir()) / 1e6
    print(f"{arguments.out}: {size:.0f} MB in {seconds(begin)}; README.md there says how each graph is used")
    return 0
