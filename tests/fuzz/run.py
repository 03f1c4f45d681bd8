"""Coverage-guided fuzzing of one target, by atheris (which is in none of our extras: pip install atheris).

python tests/fuzz/run.py query_text /tmp/corpus -max_total_time=3600

What follows the target are libFuzzer's own arguments: folders of inputs, of which the first gets the new ones, and
options. A failing input is kept in the working directory; it becomes a seed in tests/fuzz/seeds.py, which every run of
the suite tries. Targets that read JSON get mutations that stay JSON three times out of four.
"""

import random
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["find"]):
    from targets import JSON_STARTS, TARGETS

from json_mutation import mutated_bytes
from seeds import SEEDS


def mutate_json(start: int):
    def mutate(data: bytes, largest: int, seed: int) -> bytes:
        rng = random.Random(seed)
        if rng.random() < 0.75:
            content = mutated_bytes(data[start:], largest - start, rng)
            if content is not None:
                return data[:start] + content
        return atheris.Mutate(data, largest)

    return mutate


if __name__ == "__main__":
    name, *arguments = sys.argv[1:]
    folders = [Path(argument) for argument in arguments if not argument.startswith("-")]
    for folder in folders[:1]:
        folder.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(SEEDS[name]):
            (folder / f"seed-{number}").write_bytes(seed)
    own = {"custom_mutator": mutate_json(JSON_STARTS[name])} if name in JSON_STARTS else {}
    atheris.Setup([sys.argv[0], *arguments], TARGETS[name], **own)
    atheris.Fuzz()
