"""`python -m find.quickstart`: the main job, as `scripts/demo` runs it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from find.errors import FindError
from find.utils.extras import extra


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/demo",
        description="Make a synthetic world, train FIND on it, evaluate, build an album, ask it interleaved queries "
        "and write a report. What an earlier run made is used again.",
    )
    parser.add_argument("--skip-training", action="store_true", help="show the weights that ship with the package")
    parser.add_argument("--steps", type=int, default=300, help="of training (default: %(default)s)")
    parser.add_argument(
        "--minutes", type=float, help="stop the training after so many (default: when its steps are done)"
    )
    parser.add_argument("--out", type=Path, default=Path("outputs/demo"), help="(default: %(default)s)")
    parser.add_argument("--images", type=int, default=4800, help="training images (default: %(default)s)")
    parser.add_argument(
        "--val-images", type=int, default=300, help="images to evaluate on and search (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=2026, help="of the world (default: %(default)s)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps (default: %(default)s)")
    arguments = parser.parse_args()

    try:
        with extra("train,album", "scripts/demo"):
            from find.quickstart.pipeline import Demo, DemoSettings
        settings = DemoSettings(
            out=arguments.out,
            steps=arguments.steps,
            minutes=arguments.minutes,
            skip_training=arguments.skip_training,
            train_images=arguments.images,
            val_images=arguments.val_images,
            seed=arguments.seed,
            device=arguments.device,
        )
        Demo(settings).run()
    except FindError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
