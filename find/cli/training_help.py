"""The help of `findvl fit`, `validate`, `test` and `predict`: the usual options, without importing Lightning.

`--help-all` lists what Lightning and our classes take besides, some two hundred options.
"""

from __future__ import annotations

import argparse

from find.training.configs import config_names

ALL = "--help-all"
CONFIG = {
    "-c CONFIG": "a YAML file or the name of a shipped one; may be repeated, later ones override earlier ones",
}
DATA = {
    "--data READER": "data reader: coco (default), yolo, or a name or class of an installed package",
    "--data.root FOLDER": "folder of images and annotations, in COCO's layout or the reader's",
    "--data.batch_size N": "images at a time on each device",
    "--data.num_workers N": "processes that read images",
}
WEIGHTS = {"--model.weights MODEL": "a shipped name, a saved folder or a model of the hub to start from"}
DEVICES = {
    "--trainer.accelerator NAME": "auto, cpu, gpu or mps",
    "--trainer.devices N": "how many devices; auto takes all",
    "--trainer.precision NAME": "auto (default: bf16-mixed where bfloat16 is fast, else 32-true) or a precision",
}
EVALUATED = {
    "--weights MODEL": "a shipped name, a saved folder, a model of the hub or official/find-focalt-llama",
    "--split NAME": "split to use (default: the validation split)",
}
OPTIONS = {
    "fit": {
        "model": CONFIG
        | WEIGHTS
        | {
            "--model.config.vision SPEC": "vision encoder, such as timm:convnext_small.fb_in22k (docs/foundations.md)",
            "--model.config.language SPEC": "language encoder, such as transformers:google-bert/bert-base-uncased",
        },
        "data": DATA,
        "training": {
            "--trainer.max_steps N": "stop after N steps; the learning rate decays to zero by then",
            "--trainer.max_epochs N": "or after N passes over the training images",
            "--model.minutes X": "or after X minutes, whichever comes first",
            "--model.learning_rate X": "learning rate of AdamW",
            "--model.loss_weights WEIGHTS": "loss weights by name, such as '{caption: 3, grounding: {dice: 5}}'",
            "--seed_everything N": "seed of weights, order and augmentation",
        },
        "device": DEVICES,
        "run": {
            "--trainer.default_root_dir FOLDER": "output folder: model/, checkpoints, metrics.csv, curves.png",
            "--ckpt_path FILE": "resume an interrupted run from its last.ckpt",
            "--print_config": "print all settings, including these options, as YAML and exit",
        },
    },
    "validate": {
        "model": CONFIG | WEIGHTS | {"--ckpt_path FILE": "a checkpoint of findvl fit; or give --model.weights"},
        "data": DATA,
        "device": DEVICES,
    },
    "test": {
        "model": CONFIG | EVALUATED,
        "data": DATA,
        "evaluation": {
            "--out FILE": "write the metrics as JSON, and a Markdown table beside it",
            "--tasks NAMES": "comma-separated: panoptic, grounding, interactive, retrieval, interleaved_segmentation, "
            "interleaved_retrieval, or protocols of installed packages",
            "--studies NAMES": "comma-separated studies beyond the published tables: variants, probes",
            "--limit N": "evaluate only the first N images",
            "--mode NAME": "which entities of a sentence are shown as regions: text, visual or mixed (default)",
        },
        "device": DEVICES,
    },
    "predict": {
        "model": CONFIG | EVALUATED,
        "data": DATA,
        "output": {"--out FOLDER": "write predictions.json and predictions/*.png there"},
        "device": DEVICES,
    },
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
    for title, options in OPTIONS[command].items():
        group = parser.add_argument_group(title)
        for option, text in options.items():
            name, _, value = option.partition(" ")
            if value:
                group.add_argument(name, metavar=value, help=text)
            else:
                group.add_argument(name, action="store_true", help=text)
    group = parser.add_argument_group("help")
    group.add_argument("-h", "--help", action="store_true", help="this text")
    group.add_argument(ALL, action="store_true", help="show all options")
    return parser.format_help()
