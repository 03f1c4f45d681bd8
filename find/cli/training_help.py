"""The help of `findvl fit`, `validate`, `test` and `predict`: what people want of them, without Lightning's import.

`--help-all` lists what Lightning and our classes take besides, some two hundred options.
"""

from __future__ import annotations

import argparse

from find.training.configs import config_names

ALL = "--help-all"
SHARED = {
    "-c CONFIG": "a YAML file or the name of a shipped one; may be repeated, later ones override earlier ones",
    "--data READER": "data reader: coco (default), yolo, or a name or class of an installed package",
    "--data.root FOLDER": "folder of images and annotations, in COCO's layout or the reader's",
    "--data.batch_size N": "images at a time on each device",
    "--data.num_workers N": "processes that read images",
    "--model.weights MODEL": "a shipped name, a saved folder or a model of the hub to start from",
    "--trainer.accelerator NAME": "auto, cpu, gpu or mps",
    "--trainer.devices N": "how many devices; auto takes all",
    "--trainer.precision NAME": "auto (default: bf16-mixed where bfloat16 is fast, else 32-true) or a precision",
}
EVALUATED = {
    "--weights MODEL": "a shipped name, a saved folder or a model of the hub",
    "--split NAME": "split to use (default: the validation split)",
}
OWN = {
    "fit": {
        "--model.learning_rate X": "learning rate of AdamW",
        "--model.loss_weights WEIGHTS": "loss weights by name, such as '{caption: 3, grounding: {dice: 5}}'",
        "--trainer.max_epochs N": "passes over the training images",
        "--trainer.max_steps N": "stop after N steps; the learning rate decays to zero by then",
        "--model.minutes X": "stop after X minutes; the learning rate decays to zero by then",
        "--trainer.default_root_dir FOLDER": "output folder of the run",
        "--ckpt_path FILE": "resume an interrupted run from its last.ckpt",
        "--print_config": "print all settings, including these options, as YAML and exit",
    },
    "validate": {"--ckpt_path FILE": "a checkpoint of findvl fit; or give --model.weights"},
    "test": EVALUATED
    | {
        "--out FILE": "write the metrics as JSON, and a Markdown table beside it",
        "--tasks NAMES": "comma-separated: panoptic, grounding, interactive, retrieval, interleaved_segmentation, "
        "interleaved_retrieval, or protocols of installed packages",
        "--studies NAMES": "comma-separated studies beyond the published tables: variants, probes",
        "--limit N": "evaluate only the first N images",
        "--mode NAME": "which entities of a sentence are shown as regions: text, visual or mixed (default)",
    },
    "predict": EVALUATED | {"--out FOLDER": "write predictions.json and predictions/*.png there"},
}
EXAMPLES = {
    "fit": "findvl fit -c tiny --data.root data/world --trainer.max_steps 400",
    "validate": "findvl validate -c tiny --data.root data/world --ckpt_path outputs/fit/last.ckpt",
    "test": "findvl test -c tiny --data.root data/world --weights find-tiny --out outputs/metrics.json",
    "predict": "findvl predict -c tiny --data.root data/world --weights find-tiny --out outputs/predictions",
}


def training_help(command: str, description: str) -> str:
    """What `findvl COMMAND --help` prints."""
    parser = argparse.ArgumentParser(
        prog=f"findvl {command}",
        usage=f"findvl {command} -c CONFIG [options]",
        description=description,
        epilog=f"shipped configs: {', '.join(config_names())}\n\nexample:\n  {EXAMPLES[command]}\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,
    )
    for option, text in {**SHARED, **OWN[command], ALL: "show all options"}.items():
        name, _, value = option.partition(" ")
        if value:
            parser.add_argument(name, metavar=value, help=text)
        else:
            parser.add_argument(name, action="store_true", help=text)
    parser.add_argument("-h", "--help", action="store_true", help="this text")
    return parser.format_help()
