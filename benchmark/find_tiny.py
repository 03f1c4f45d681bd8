"""Measures the shipped model and the frozen pair on a synthetic world, and writes the tables of docs/benchmarks.md.

    findvl data world data/world --images 20000 --val-images 2000 --seed 0
    python benchmark/find_tiny.py --root data/world

Figures go to benchmark/results/find-tiny.json and .md; the table of docs/benchmarks.md is replaced.
"""

import argparse
import json
from pathlib import Path

from find.evaluation.evaluate import evaluate
from find.evaluation.results import comparison_table
from find.evaluation.systems.frozen_foundations import FrozenPair, evaluate_pair
from find.model.model import FIND

HOME = Path(__file__).resolve().parents[1]
RESULTS = HOME / "benchmark" / "results"
BEGIN, END = "<!-- results: written by benchmark/find_tiny.py -->\n", "<!-- end of results -->"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True, help="a folder made by `findvl data world`")
    parser.add_argument("--weights", default="find-tiny")
    parser.add_argument("--limit", type=int, default=None, help="evaluate the first so many images only")
    options = parser.parse_args()

    model = FIND.from_pretrained(options.weights).eval()
    pair = FrozenPair(vision=model.vision, language=model.language)
    found = evaluate(model, options.root, limit=options.limit)
    columns = {
        options.weights: found.to_json(),
        "frozen pair": evaluate_pair(pair, options.root, limit=options.limit).to_json(),
    }
    world = json.loads((options.root / "world.json").read_text())
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "find-tiny.json").write_text(json.dumps({"world": world, "columns": columns}, indent=1) + "\n")
    about, table = facts(columns, options.weights, world), comparison_table(columns)
    (RESULTS / "find-tiny.md").write_text(f"# find-tiny\n\n{about}\n\n{table}\n{held_out_table(found.to_json())}")
    page = HOME / "docs" / "benchmarks.md"
    before, rest = page.read_text().split(BEGIN)
    after = rest.split(END)[1]
    page.write_text(f"{before}{BEGIN}\n{about}\n\n{table}\n{END}{after}")


def facts(columns: dict[str, dict], weights: str, world: dict) -> str:
    """What the numbers were measured on, and the harder variants of retrieval in a sentence."""
    figures = columns[weights]
    details = figures["details"]["interleaved_retrieval"]
    text = (
        f"Measured on the {figures['data']['images']} val images of a world with seed {world['seed']} "
        f"(percentages; NoC is a number of clicks). Retrieval searches a gallery of 500."
    )
    alone = details["sentence_term_alone"]["IR@1"]
    text += f" Interleaved IR@1 by the sentence term alone: {alone:.1f}."
    if details.get("large_gallery"):
        text += f" In a gallery of 2,000: {details['large_gallery']['combined']['IR@1']:.1f}."
    if details.get("hard_negatives"):
        text += " Held-out pairs: `benchmark/results/find-tiny.md`; hard negatives: `find-tiny.json` beside it."
    return text


def held_out_table(figures: dict) -> str:
    """Combinations of category and colour that no training image shows, beside the rest."""
    text = "| task | metric | seen in training | held out |\n| --- | --- | ---: | ---: |\n"
    for task, parts in figures["held_out"].items():
        for metric, value in parts["held_out"].items():
            text += f"| {task.replace('_', ' ')} | {metric} | {parts['seen'][metric]:.1f} | {value:.1f} |\n"
    return text


if __name__ == "__main__":
    main()
