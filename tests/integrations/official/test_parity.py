"""Every array that the original recorded comes out of this package: forward passes, answers, losses, gradients."""

import pytest
from published_reference.parity import REPLAYS, replay


@pytest.mark.parametrize("name", REPLAYS)
def test_recorded_run_is_reproduced(reference, name, capsys):
    fixture = replay(reference, name)
    compared = fixture.comparisons.values()
    with capsys.disabled():
        print(f"\n{name}: {len(compared)} compared: {', '.join(fixture.comparisons)}")
        print(*fixture.notes, sep="\n")
        print(f"{name}: {len(fixture.given_names)} given: {', '.join(sorted(fixture.given_names))}")
    assert not fixture.unread, "arrays neither compared nor given to the model"
    assert not [str(comparison) for comparison in compared if not comparison.good]


def test_every_recorded_file_is_replayed(reference):
    files = {file.stem for file in reference.tiny.glob("*.npz")}
    assert files == set(REPLAYS)
