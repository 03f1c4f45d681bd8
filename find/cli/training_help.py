"""The help of `findvl fit`, `validate`, `test` and `predict`: what people want of them, without Lightning's import.

`--help-all` lists what Lightning and our classes take besides, some two hundred options.
"""

from __future__ import annotations

import argparse

from find.training.configs import config_names

ALL = "--help-all"
SHARED = {
    "-c CONFIG": "a YAML file or the name of a shipped one; may be given several times, what comes later overrides",
    "--data READER": "what reads the data: coco (default), or a name or class of an installed package",
    "--data.root FOLDER": "images and annotations, in COCO's layout or the reader's",
    "--data.batch_size N": "images at a time on each device",
    "--data.num_workers N": "processes that read images",
    "--model.weights MODEL": "a shipped name, a saved folder or a model of the hub to start from",
    "--trainer.accelerator NAME": "auto, cpu, gpu or mps",
    "--trainer.devices N": "how many of them; auto takes all",
    "--trainer.precision NAME": "auto (default): bf16-mixed where bfloat16 is fast, else 32-true; or one of them",
}
EVALUATED = {
    "--weights MODEL": "a shipped name, a saved folder or a model of the hub",
    "--split NAME": "another split than the validation split",
}
OWN = {
    "fit": {
        "--model.learning_rate X": "of AdamW",
        "--model.loss_weights WEIGHTS": "of losses by name, such as '{caption: 3, grounding: {dice: 5}}'",
        "--trainer.max_epochs N": "how often all images are seen",
        "--trainer.max_steps N": "end after so many steps, the learning rate at zero by the last",
        "--model.minutes X": "stop after so many minutes if it is not done, the learning rate at zero by then",
        "--trainer.default_root_dir FOLDER": "all that the run writes goes here",
        "--ckpt_path FILE": "go on with an interrupted run, from its last.ckpt",
        "--print_config": "print all settings as YAML, with these options in, and end",
    },
    "validate": {"--ckpt_path FILE": "a checkpoint of findvl fit; or give --model.weights"},
    "test": EVALUATED
    | {
        "--out FILE": "JSON for the figures; a Markdown table is written beside it",
        "--tasks NAMES": "some of panoptic, grounding, interactive, retrieval, interleaved_segmentation, "
        "interleaved_retrieval, or of what installed packages declare; commas between",
        "--studies NAMES": "variants, probes: what goes beyond the published tables",
        "--limit N": "evaluate the first so many images only",
        "--mode NAME": "which entities of a sentence are shown as regions: text, visual or mixed (default)",
    },
    "predict": EVALUATED | {"--out FOLDER": "for predictions.json and predictions/*.png"},
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
    for option, text in {**SHARED, **OWN[command], ALL: "all options"}.items():
        name, _, value = option.partition(" ")
        if value:
            parser.add_argument(name, metavar=value, help=text)
        else:
            parser.add_argument(name, action="store_true", help=text)
    parser.add_argument("-h", "--help", action="store_true", help="this text")
    return parser.format_help()
