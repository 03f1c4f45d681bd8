"""Whatever a system answers, what is written of it is accepted, and scores as the run did, to the last digit."""

import json
from pathlib import Path

import pytest
from guesser import TASKS, guessed

from find.evaluation.prediction_files.score import find_files, score, validate
from find.evaluation.systems.run import Settings

PLAIN = Settings(split="val2017", clicked_images=1)
STUDIES = Settings(split="val2017", clicked_images=1, studies=("variants", "probes"))
LIMITED = Settings(split="val2017", clicked_images=1, limit=3)
PARTS = (*TASKS, "intervals", "details", "held_out", "variants", "probes")


@pytest.mark.parametrize(
    ("seed", "settings"),
    [*((seed, PLAIN) for seed in range(4)), (4, STUDIES), (5, LIMITED)],
    ids=[*"0123", "studies", "limited"],
)
def test_random_answers_score_from_their_files_as_they_did(seed: int, settings: Settings, world: Path, tmp_path: Path):
    run = guessed(world, tmp_path, seed, settings)
    files = find_files(tmp_path, None)
    assert len(files) == 7
    found = validate(files, world, settings)
    assert not found.has_errors, found.lines()
    before = json.loads(json.dumps(run.to_json()))
    after = json.loads(json.dumps(score(files, world, settings, progress=False).to_json()))
    assert {part for part in PARTS if part in before} >= {*TASKS, *settings.studies}
    for part in PARTS:
        assert after.get(part) == before.get(part), part
