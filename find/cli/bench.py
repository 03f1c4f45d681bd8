"""`findvl bench`: FIND-Bench for any system. Heavy libraries are imported when a command runs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from find.cli.arguments import NamesAction, add_command, is_stdout, positive, write_json
from find.cli.bench_build import add_build
from find.cli.bench_captions import add_captions
from find.evaluation.protocol_names import PUBLISHED, protocol_names
from find.utils.extras import extra

if TYPE_CHECKING:
    from find.evaluation.systems.run import Settings

FILE_TASKS = (
    "panoptic",
    "instances",
    "semantic",
    "grounding",
    "interleaved_segmentation",
    "retrieval",
    "interleaved_retrieval",
)
MODEL_HELP = """\
a model:
  find-tiny, FOLDER, user/model        a FIND model, shipped, from a folder or the hub: all tasks
  open_clip:ViT-B-32/laion2b_s34b_b79k open_clip's dual encoders: retrieval, interleaved retrieval
  siglip2:google/siglip2-base-patch16-224                         likewise
  qwen-vl:Qwen/Qwen2.5-VL-3B-Instruct  a vision-language model as embedder: likewise
  clipseg:CIDAS/clipseg-rd64-refined   grounding, interleaved segmentation
  grounding-dino+sam:IDEA-Research/grounding-dino-tiny+facebook/sam-vit-base   likewise
  sam3:facebook/sam3                   likewise
  mask2former:facebook/mask2former-swin-tiny-coco-panoptic        panoptic (with instances and classes)
  eomt:tue-mps/coco_panoptic_eomt_large_640                       likewise
  frozen-pair:find-tiny                a FIND model's foundations without its interface
"""


def add_bench(commands: argparse._SubParsersAction) -> None:
    bench = commands.add_parser("bench", help="FIND-Bench: run, score, check and compare any systems").add_subparsers(
        title="commands", metavar="COMMAND", required=True
    )
    parser = add_command(
        bench,
        "run",
        "evaluate a model, FIND or a baseline, on a data folder",
        MODEL_HELP + "\nexamples:\n"
        "  findvl bench run --model find-tiny --root data/world --split val2017 --out outputs/bench/find-tiny\n"
        "  findvl bench run --model clipseg:CIDAS/clipseg-rd64-refined --root datasets/coco --split val2017 "
        "--tasks grounding --limit 500 --out outputs/bench/clipseg\n",
    )
    parser.add_argument("--model", required=True, help="see below")
    parser.add_argument(
        "--root", type=Path, required=True, help="a folder in COCO's layout, or another's that --data names"
    )
    parser.add_argument("--data", metavar="READER", default="coco", help="coco, yolo ... (default: %(default)s)")
    parser.add_argument(
        "--tasks",
        action=NamesAction,
        known=protocol_names,
        metavar="TASK",
        help=f"some of {', '.join(PUBLISHED)} (default: all that the model supports), or protocols of installed "
        "packages by their names",
    )
    parser.add_argument("--out", type=Path, required=True, help="the folder to write results.json into")
    parser.add_argument("--save-predictions", action="store_true", help="also write OUT/predictions, for bench score")
    parser.add_argument("--batch-size", type=positive, default=16, help="images at a time (default: %(default)s)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 or mps (default: %(default)s)")
    _add_settings(parser)
    parser.set_defaults(run=run)

    parser = add_command(
        bench,
        "score",
        "score predictions of any system, in COCO's formats or those of docs/bench-formats.md",
        "examples:\n"
        "  findvl bench score --task panoptic --gt datasets/coco --split val2017 panoptic.json --out figures.json\n"
        "  findvl bench score --gt data/world outputs/bench/find-tiny --out figures.json\n",
    )
    _add_predictions(parser)
    parser.add_argument("--out", metavar="FILE.json", required=True, help="write the metrics there; - for stdout")
    parser.add_argument("--name", help="name of the system in tables (default: the name of the predictions)")
    parser.set_defaults(run=score)

    parser = add_command(
        bench,
        "validate",
        "list what is wrong with predictions: file, item and how to fix it; status 1 if there are errors",
        "example:\n  findvl bench validate panoptic.json --task panoptic --gt datasets/coco --split val2017\n",
    )
    _add_predictions(parser)
    parser.set_defaults(run=validate)

    parser = add_command(
        bench,
        "queries",
        "write the queries of the protocols, for systems that are scored from files",
        "example:\n  findvl bench queries --task interleaved_segmentation --gt datasets/coco --out queries.json\n",
    )
    parser.add_argument("--task", choices=FILE_TASKS[3:], required=True)
    parser.add_argument("--gt", type=Path, required=True, help="a folder in COCO's layout")
    parser.add_argument("--out", type=Path, required=True, help="the JSON to write")
    _add_settings(parser)
    parser.set_defaults(run=queries)

    parser = add_command(
        bench,
        "report",
        "one HTML page of several runs: tables, curves, categories, best and worst answers",
        "example:\n  findvl bench report outputs/bench/find-tiny outputs/bench/clip --out bench.html\n",
    )
    parser.add_argument("results", type=Path, nargs="+", help="folders of bench run, or JSONs of bench score")
    parser.add_argument("--out", type=Path, required=True, metavar="PAGE.html", help="the page to write")
    parser.set_defaults(run=report)
    add_build(bench)
    add_captions(bench)


def run(arguments: argparse.Namespace) -> int:
    """`findvl bench run`: evaluates a model, prints its figures and writes them."""
    with extra("evaluate", "findvl bench run"):
        from find.evaluation.distributed import is_first
        from find.evaluation.systems.benchmark_system import load_benchmark_system
        from find.evaluation.systems.run import RESULTS
        from find.evaluation.systems.run import run as run_bench
    from find.utils.device import choose_device

    candidate = load_benchmark_system(arguments.model, device=choose_device(arguments.device))
    found = run_bench(
        candidate,
        arguments.root,
        settings=_settings(arguments),
        reader=arguments.data,
        tasks=arguments.tasks,
        out=arguments.out,
        save_predictions=arguments.save_predictions,
        batch_size=arguments.batch_size,
    )
    if is_first():  # under torchrun all processes have the figures
        print(found.to_markdown())
        print(f"written: {arguments.out / RESULTS}")
    return 0


def score(arguments: argparse.Namespace) -> int:
    """`findvl bench score`: the figures of predictions from files."""
    with extra("evaluate", "findvl bench score"):
        from find.evaluation.prediction_files.folder import BlankFolder
        from find.evaluation.prediction_files.score import FileTask, find_files
        from find.evaluation.prediction_files.score import score as score_files
        from find.evaluation.systems.run import results_json

    task = FileTask(arguments.task) if arguments.task else None
    settings = _settings(arguments)
    found = score_files(find_files(arguments.predictions, task), arguments.gt, settings)
    folder = BlankFolder(arguments.gt, settings.split, entities=None)
    name = arguments.name or arguments.predictions.stem
    record = results_json(found, name=name, about="predictions from files", folder=folder, settings=settings)
    write_json(record, arguments.out)
    if not is_stdout(arguments.out):
        print(found.to_markdown())
    return 0


def validate(arguments: argparse.Namespace) -> int:
    """`findvl bench validate`: every issue of predictions; status 1 if there are errors."""
    with extra("evaluate", "findvl bench validate"):
        from find.evaluation.prediction_files.score import FileTask, find_files
        from find.evaluation.prediction_files.score import validate as validate_files

    files = find_files(arguments.predictions, FileTask(arguments.task) if arguments.task else None)
    found = validate_files(files, arguments.gt, _settings(arguments))
    for line in found.lines():
        print(line)
    print(f"{arguments.predictions}: {found.summary()}", file=sys.stderr)
    return 1 if found.has_errors else 0


def queries(arguments: argparse.Namespace) -> int:
    """`findvl bench queries`: what a protocol asks."""
    with extra("evaluate", "findvl bench queries"):
        from find.evaluation.prediction_files.folder import BlankFolder
        from find.evaluation.prediction_files.query_collector import QueryCollector
        from find.evaluation.prediction_files.score import FileTask

    settings = _settings(arguments)
    folder = BlankFolder(arguments.gt, settings.split, entities=settings.entities)
    task = FileTask(arguments.task)
    asked = QueryCollector.of(folder, task.task, **task.options(settings))
    asked.write(arguments.out)
    print(f"{arguments.out}: {asked.summary()}")
    return 0


def report(arguments: argparse.Namespace) -> int:
    """`findvl bench report`: one page of several runs."""
    with extra("evaluate", "findvl bench report"):
        from find.evaluation.report.report import write_report

    page = write_report(arguments.results, arguments.out)
    print(f"{page}: {len(arguments.results)} runs, {page.stat().st_size / 1e6:.1f} MB; open it in a browser")
    return 0


def _add_predictions(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("predictions", type=Path, help="a file, or the folder that bench run has written")
    parser.add_argument("--task", choices=FILE_TASKS, help="the task of the file; for a folder, score only this task")
    parser.add_argument("--gt", type=Path, required=True, help="the ground truth, a folder in COCO's layout")
    _add_settings(parser)


def _add_settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--split", help="(default: the validation split, val2017 in COCO's layout)")
    parser.add_argument("--limit", type=positive, help="evaluate only the first LIMIT images")
    parser.add_argument("--entities", default="auto", help="entity file without .json (default: entity_SPLIT)")
    parser.add_argument(
        "--gallery", type=positive, default=500, help="number of images in the retrieval gallery (default: %(default)s)"
    )
    parser.add_argument(
        "--studies", action=NamesAction, known=lambda: ("variants", "probes"), default=(), metavar="STUDY",
        help="beyond the published tables: variants (the interleaved tasks by query type and region source), probes "
        "(does the true sentence score higher than a false one of the same units)",
    )  # fmt: skip
    parser.add_argument(
        "--clicked-images",
        type=positive,
        default=50,
        help="images for interactive segmentation with up to 20 clicks per object (default: %(default)s)",
    )


def _settings(arguments: argparse.Namespace) -> Settings:
    from find.data.data_split import load_reader
    from find.evaluation.systems.run import Settings

    return Settings(
        split=arguments.split or load_reader(getattr(arguments, "data", "coco")).val_split,
        limit=arguments.limit,
        entities=arguments.entities,
        gallery=arguments.gallery,
        clicked_images=arguments.clicked_images,
        studies=tuple(arguments.studies),
    )
