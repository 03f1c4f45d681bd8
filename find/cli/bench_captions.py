"""`findvl bench captions`: published tests of true against false captions."""

from __future__ import annotations

import argparse
from pathlib import Path

from find.cli.arguments import add_command, is_stdout, positive, write_json
from find.utils.extras import extra

NAMES = ("sugarcrepe", "sugarcrepe-pp", "vsr", "whatsup")
HELP = """\
A choice is correct if every true caption of a picture scores higher than every false one; ties are wrong. A FIND model
scores captions as search queries, with the entities that its tagger finds; other models by the cosine of caption and
picture. A text-only baseline, trained on the captions of other pictures, shows what the wording alone gives away. VSR
judges single captions; here a true and a false caption about the same picture and the same two objects are compared.

`findvl data prepare SET ROOT` shows which files of a set are present, where to get the others, and the licence terms.

example:
  findvl data prepare sugarcrepe datasets/sugarcrepe
  findvl bench captions sugarcrepe --root datasets/sugarcrepe --pictures datasets/coco/val2017 --model find-tiny \\
      --out outputs/sugarcrepe.json
"""


def add_captions(bench: argparse._SubParsersAction) -> None:
    parser = add_command(
        bench, "captions", "choose the true caption among false ones: SugarCrepe, SugarCrepe++, VSR, What'sUp", HELP
    )
    parser.add_argument("set", choices=NAMES)
    parser.add_argument("--root", type=Path, required=True, help="the folder with the set's files")
    parser.add_argument("--pictures", type=Path, help="the folder of its pictures (default: ROOT)")
    parser.add_argument("--model", default="find-tiny", help="as for `findvl bench run` (default: %(default)s)")
    parser.add_argument("--kinds", nargs="+", metavar="KIND", help="only these, such as swap_obj (default: all)")
    parser.add_argument("--limit", type=positive, help="evaluate only the first LIMIT choices of each kind")
    parser.add_argument("--out", required=True, metavar="FILE.json", help="write the metrics there; - for stdout")
    parser.add_argument("--batch-size", type=positive, default=16, help="pictures at a time (default: %(default)s)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 or mps (default: %(default)s)")
    parser.set_defaults(run=captions)


def captions(arguments: argparse.Namespace) -> int:
    from find.data.caption_sets import CAPTION_SETS

    asked = CAPTION_SETS[arguments.set]
    choices = asked.choices(arguments.root, arguments.kinds)
    if arguments.limit is not None:
        choices = [
            choice
            for kind in dict.fromkeys(choice.kind for choice in choices)
            for choice in [one for one in choices if one.kind == kind][: arguments.limit]
        ]
    with extra("evaluate", "findvl bench captions"):
        from find.evaluation.caption_choice import answer_by_words, answer_choices, summary, to_markdown
        from find.evaluation.systems.benchmark_system import load_benchmark_system
    from find.utils.device import choose_device

    candidate = load_benchmark_system(arguments.model, device=choose_device(arguments.device))
    pictures = arguments.pictures or arguments.root
    answers = answer_choices(candidate.system, choices, pictures, batch_size=arguments.batch_size)
    found = summary(asked.title, answers, answer_by_words(choices))
    record = {
        "system": {"name": candidate.name, "about": candidate.about},
        "set": asked.title,
        "terms": asked.terms,
        "figures": found.to_json(),
        "intervals": found.intervals(),
        **found.details(),
    }
    write_json(record, arguments.out)
    if not is_stdout(arguments.out):
        print(to_markdown(found))
        print(f"written: {arguments.out}")
    return 0
