"""A task of another package: counting by exemplar, of examples/plugin, which the core does not know."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_run import CONFIG

from find import FIND
from find.data.collate import Collate
from find.data.sample import Category, Sample, Segment
from find.errors import CheckpointError, InputError
from find.tasks import Task
from find.tasks.core import CORE, check_tasks, load_task, load_tasks
from find.training.criterion import Criterion, merged_weights
from find.training.optimisation import adamw
from find.utils.entry_points import declared

PLUGIN = Path(__file__).resolve().parents[2] / "examples" / "plugin"
CATEGORIES = (Category(1, "wall", False, (0, 0, 0), 0), Category(2, "bead", True, (1, 0, 0), 1))
NAMES = [category.words for category in CATEGORIES]


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def counting(monkeypatch) -> type[Task]:
    monkeypatch.syspath_prepend(str(PLUGIN))
    from findvl_beads.counting import Counting

    return Counting


@pytest.fixture
def installed(counting, monkeypatch, tmp_path) -> type[Task]:
    """The package as pip would record it: with an entry point."""
    info = tmp_path / "site" / "beads-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: beads\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[find.tasks]\ncounting = findvl_beads.counting:Counting\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    declared.cache_clear()
    yield counting
    declared.cache_clear()


def beads(image_id: int, count: int) -> Sample:
    """So many bright squares on a dark wall."""
    image = np.full((96, 96, 3), 30, np.uint8)
    segment_map = np.full((96, 96), 1, np.int32)
    for number in range(count):
        row, column = divmod(number * 7 + image_id, 9)
        place = np.s_[6 + 30 * (row % 3) : 24 + 30 * (row % 3), 6 + 30 * (column % 3) : 24 + 30 * (column % 3)]
        image[place] = (230, 200, 40)
        segment_map[place] = 2 + number
    present = [id for id in range(2, 2 + count) if (segment_map == id).any()]
    segments = (Segment(1, 1, 1, (0, 0, 1, 1)), *(Segment(id, 2, 1, (0, 0, 1, 1)) for id in present))
    return Sample(image_id, f"{image_id}.png", image, segment_map, segments, captions=("beads",))


def build(*tasks: Task) -> FIND:
    torch.manual_seed(0)
    return FIND.build(CONFIG, tasks=tasks)


def rngs(count: int) -> list[np.random.Generator]:
    return [np.random.default_rng(number) for number in range(count)]


def test_one_more_task_changes_no_draw_and_no_loss_of_the_others(counting):
    samples = [beads(image_id, image_id) for image_id in (1, 2, 3)]
    found = []
    for model in (build(), build(counting())):
        batch = Collate(CATEGORIES, list(model.tasks.values()))(samples, rngs(3))
        found.append({name: loss.item() for name, loss in Criterion()(model, batch, NAMES).items()})
    plain, more = found
    assert set(more) - set(plain) == {"counting"}
    assert {name: more[name] for name in plain} == pytest.approx(plain, rel=1e-5)


def test_it_learns_to_count(counting):
    """Four pictures are learned by heart: the counts of their beads, by a bead of each as the exemplar."""
    samples = [beads(image_id, count) for image_id, count in enumerate((1, 2, 4, 5), start=1)]
    true = [len(sample.segments) - 1 for sample in samples]
    assert len(set(true)) > 2
    model = build(counting()).train()
    model.tasks = {name: model.tasks[name] for name in ("panoptic", "counting")}  # the criterion asks for no other
    batch = Collate(CATEGORIES, list(model.tasks.values()))(samples, rngs(4))
    criterion = Criterion(weights={"counting": 10.0})
    optimizer = adamw(model.interface, learning_rate=3e-3, weight_decay=0.0)
    losses = []
    for _ in range(50):
        optimizer.zero_grad()
        found = criterion(model, batch, NAMES)
        sum(found.values()).backward()
        torch.nn.utils.clip_grad_norm_(model.interface.parameters(), 5.0)
        optimizer.step()
        losses.append(found["counting"].item())
    assert losses[-1] < 0.25 * losses[0], losses
    masks = [sample.segment_map == sample.segments[1].id for sample in samples]
    images = [sample.image for sample in samples]
    counts = model.eval().run("counting", images, masks)
    from findvl_beads.counting import CountErrors

    assert CountErrors.of(counts, true).mae < 0.75, (counts, true, losses)
    one = model.run("counting", model.encode_images(images[2:3]), masks[2:3])
    assert one == pytest.approx(counts[2:3], rel=1e-4)


def test_its_parameters_are_learned_saved_and_loaded_with_the_model(installed, tmp_path):
    model = build(installed())
    assert model.config.tasks == ("counting",)
    own = {name for name, _ in model.interface.named_parameters() if name.startswith("tasks.")}
    assert own == {
        f"tasks.counting.head.{name}" for name in ("objects.weight", "exemplars.weight", "scale", "threshold")
    }
    before = model.fingerprint
    with torch.no_grad():
        model.tasks["counting"].head.threshold.fill_(0.25)
    assert model.fingerprint == before  # what is counted changes no vector of an album
    model.save_pretrained(tmp_path / "model")
    again = FIND.from_pretrained(tmp_path / "model")
    assert again.tasks["counting"].head.threshold.item() == 0.25
    image = beads(1, 3).image
    mask = np.zeros((96, 96), bool)
    mask[8:12, 8:12] = True
    assert again.run("counting", image, mask) == pytest.approx(model.run("counting", image, mask), rel=1e-5)


def test_a_folder_that_names_a_class_path_runs_nothing_unless_the_task_is_given(counting, tmp_path):
    model = build(counting())
    assert model.config.tasks == ("findvl_beads.counting.Counting",)
    model.save_pretrained(tmp_path)
    sys.modules.pop("findvl_beads.counting")
    with pytest.raises(CheckpointError, match=r"config\.json names the task findvl_beads.*tasks=\[Counting\(\)\]"):
        FIND.from_pretrained(tmp_path)
    assert "findvl_beads.counting" not in sys.modules
    assert "counting" in FIND.from_pretrained(tmp_path, tasks=[counting()]).tasks


def test_a_task_is_added_to_a_model_that_was_trained_without_it(counting, tmp_path):
    build().save_pretrained(tmp_path)
    model = FIND.from_pretrained(tmp_path, config=replace(CONFIG, tasks=("findvl_beads.counting.Counting",)))
    assert [*model.tasks] == [*CORE, "counting"]
    assert model.interface.tasks["counting"] is model.tasks["counting"]


def test_wrong_names_are_told(counting):
    model = build(counting())
    with pytest.raises(InputError, match="no task 'countin'; did you mean 'counting'"):
        model.run("countin", beads(1, 1).image, None)
    with pytest.raises(InputError, match="no task 'tally'"):
        load_task("tally")
    with pytest.raises(InputError, match=r"not a subclass of find\.tasks\.Task"):
        load_task("findvl_beads.counting.CountErrors")
    with pytest.raises(InputError, match="two tasks are named 'counting'"):
        check_tasks([*load_tasks(), counting(), counting()])
    with pytest.raises(InputError, match="needs panoptic before it"):
        check_tasks([counting()])
    with pytest.raises(InputError, match="loss 'countng'; did you mean 'counting'"):
        merged_weights(list(model.tasks.values()), {"countng": 1.0})
    with pytest.raises(InputError, match="give a Region of this image, or a bool mask of its 96 x 96"):
        model.run("counting", beads(1, 1).image, np.ones((3, 3), bool))
