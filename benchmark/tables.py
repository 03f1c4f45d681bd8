"""Makes the tables of FIND-Bench: published rows from published.yaml, measured ones from runs of `findvl bench run`.

    findvl bench run --model find-tiny --root data/world --out outputs/bench/find-tiny
    python benchmark/tables.py outputs/bench/*/results.json

Measured figures are kept in benchmark/results/find-bench.json; without arguments the tables are made of these again.
They go to benchmark/results/find-bench.md.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from find.evaluation.protocol_names import PUBLISHED as TASKS
from find.evaluation.results import described

HOME = Path(__file__).resolve().parents[1]
PUBLISHED = HOME / "benchmark" / "published.yaml"
MEASURED = HOME / "benchmark" / "results" / "find-bench.json"
TABLES = HOME / "benchmark" / "results" / "find-bench.md"
KEPT = ("system", "data", "settings", "intervals", "metrics", *TASKS)
PATHS = ("root", "unknown_words")
"""What a data set is called and how it was asked says enough; where it lay on somebody's disk does not."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", nargs="*", type=Path, help="results.json of runs to add or to replace")
    options = parser.parse_args()
    runs = json.loads(MEASURED.read_text()) if MEASURED.exists() else []
    for path in options.results:
        run = kept(json.loads(path.read_text()))
        runs = [other for other in runs if place(other) != place(run)] + [run]
    runs.sort(key=place)
    published = yaml.safe_load(PUBLISHED.read_text())
    check(published)
    MEASURED.write_text(json.dumps(runs, indent=1) + "\n")
    TABLES.write_text(f"# FIND-Bench\n\n{measured_tables(runs)}\n{published_tables(published)}")


def kept(run: Mapping[str, Any]) -> dict[str, Any]:
    """What of a run's results goes into tables."""
    some = {name: run[name] for name in dict.fromkeys((*KEPT, *run.get("metrics", {}))) if name in run}
    return {**some, "data": {name: value for name, value in run["data"].items() if name not in PATHS}}


def place(run: Mapping[str, Any]) -> tuple[str, str, int, str]:
    """Runs that differ in none of these replace each other."""
    return run["data"]["name"], run["data"]["split"], run["data"]["images"], run["system"]["name"]


def check(published: Mapping[str, Any]) -> None:
    """Every published row has a source and no other figures than its table's metrics."""
    for name, table in published["tables"].items():
        for row in table["rows"]:
            unknown = set(row) - {"name", "source", *table["metrics"]}
            if row["source"] not in published["sources"] or unknown:
                raise SystemExit(f"{PUBLISHED.name}, {name}, {row['name']}: no such source, or unknown {unknown}")


def measured_tables(runs: Sequence[Mapping[str, Any]]) -> str:
    """One table for each data set, a row a system and task; 95 % intervals in brackets."""
    text = ""
    for data in dict.fromkeys(place(run)[:3] for run in runs):
        own = [run for run in runs if place(run)[:3] == data]
        text += f"## Measured here: {data[0]}, {data[1]}, {data[2]} images\n\n"
        for task, about in described(own).items():
            metrics = [metric.name for metric in about.metrics]
            rows = [run for run in own if run.get(task)]
            if not rows:
                continue
            text += f"| {task.replace('_', ' ')} | {' | '.join(metrics)} | figures |\n"
            text += f"| --- |{' ---: |' * len(metrics)} --- |\n"
            for run in rows:
                intervals = run.get("intervals", {}).get(task, {})
                cells = [cell(run[task].get(metric), intervals.get(metric)) for metric in metrics]
                text += f"| {run['system']['name']} | {' | '.join(cells)} | measured here |\n"
            text += "\n"
    return text


def published_tables(published: Mapping[str, Any]) -> str:
    """One table for each task and data set, each row with its source."""
    text = ""
    for table in published["tables"].values():
        text += f"## {table['title']}\n\n"
        if "note" in table:
            text += f"{table['note'].strip()}\n\n"
        text += f"| system | {' | '.join(table['metrics'])} | figures | source |\n"
        text += f"| --- |{' ---: |' * len(table['metrics'])} --- | --- |\n"
        for row in table["rows"]:
            source = published["sources"][row["source"]]
            cells = [cell(row.get(metric)) for metric in table["metrics"]]
            text += f"| {row['name']} | {' | '.join(cells)} | published | [{row['source']}]({source['url']}) |\n"
        text += "\n"
    sources = "".join(
        f"- {name}: [{source['title']}]({source['url']})\n" for name, source in published["sources"].items()
    )
    return f"{text}## Sources\n\n{sources}"


def cell(value: float | None, interval: Sequence[float] | None = None) -> str:
    if value is None:
        return "–"
    return f"{value:.1f}" if interval is None else f"{value:.1f} [{interval[0]:.1f}, {interval[1]:.1f}]"


if __name__ == "__main__":
    main()
