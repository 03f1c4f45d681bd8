"""A run that diverges stops at once and leaves the ids of the batch; one with a time budget ends in time."""

import itertools
import json
import math
from dataclasses import replace

import lightning as L
import pytest
import torch
from small_run import CONFIG

from find.errors import FindError
from find.model.config import Conventions, FINDConfig
from find.model.model import FIND
from find.tasks.points import RandomPoints
from find.training.module import FINDModule
from find.training.optimisation import check_deterministic


def trainer(folder, **options) -> L.Trainer:
    return L.Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        limit_val_batches=0,
        **options,
    )


@pytest.mark.parametrize("name", ["logit_scale", "residual.gain", "query_features"])
def test_nan_stops_the_run_and_names_the_batch(data, tmp_path, name):
    """In the matching as well as behind it."""
    module = FINDModule(CONFIG)
    with torch.no_grad():
        module.find.interface.get_parameter(name).fill_(float("nan"))
    with pytest.raises(FindError, match=r"not a number at step 0 .*nan_batch\.json.*Lower the learning rate"):
        trainer(tmp_path, max_steps=1).fit(module, datamodule=data)
    record = json.loads((tmp_path / "nan_batch.json").read_text())
    assert record["step"] == 0
    assert len(record["image_ids"]) == 3 and set(record["image_ids"]) <= set(data.train_folder.image_ids)


class Rates(L.Callback):
    """Learning rates of the steps, as each was taken."""

    def __init__(self):
        self.taken = []

    def on_before_optimizer_step(self, run, module, optimizer):
        self.taken.append(optimizer.param_groups[0]["lr"])


class EvenClock(L.Callback):
    """Whoever asks for the time moves it on by a second, so that each step takes one."""

    def on_train_start(self, run, module):
        module.progress.clock = itertools.count().__next__


def test_run_ends_when_its_minutes_are_over_and_tells_where(data, tmp_path):
    rates = Rates()
    run = trainer(tmp_path, max_epochs=1000, limit_train_batches=2, callbacks=[EvenClock(), rates])
    module = FINDModule(CONFIG, minutes=0.2, learning_rate=1e-3, warmup=0.0)
    run.fit(module, datamodule=data)
    assert run.global_step == 11
    assert module.early_end == "stopped at step 11 of 2000"
    assert rates.taken == sorted(rates.taken, reverse=True) and rates.taken[-1] < 0.02e-3


def test_the_last_step_s_rate_is_nearly_zero(data, tmp_path):
    """Of n steps each has its own share: the last one's is 1 / n from the end."""
    rates = Rates()
    module = FINDModule(CONFIG, learning_rate=1e-3, warmup=0.0, minutes=60)
    run = trainer(tmp_path, max_steps=8, limit_train_batches=2, callbacks=[rates])
    run.fit(module, datamodule=data)
    assert rates.taken == pytest.approx([0.5e-3 * (1 + math.cos(math.pi * step / 8)) for step in range(8)])
    assert rates.taken[-1] < 0.04e-3 and module.early_end is None


def test_learning_rate_follows_the_steps(data, tmp_path):
    """Six steps, half of them warm-up: the rate rises to its top, then falls."""
    rates = []

    class Watch(L.Callback):
        def on_train_batch_end(self, run, module, *_):
            rates.append(run.optimizers[0].param_groups[0]["lr"])

    module = FINDModule(CONFIG, learning_rate=1e-3, warmup=0.5)
    trainer(tmp_path, max_steps=6, callbacks=[Watch()]).fit(module, datamodule=data)
    top = rates.index(max(rates))
    assert rates[:top] == sorted(rates[:top]) and rates[top:] == sorted(rates[top:], reverse=True)
    assert max(rates) == pytest.approx(1e-3) and rates[-1] < 0.3e-3


def test_run_may_start_from_trained_weights_of_the_same_config_only(tmp_path):
    torch.manual_seed(3)
    trained = FIND.build(CONFIG)
    trained.save_pretrained(tmp_path)
    started = FINDModule(CONFIG, weights=str(tmp_path)).find.interface
    for name, value in trained.interface.state_dict().items():
        assert torch.equal(started.state_dict()[name], value), name
    other = FINDConfig(vision="random:tiny", language="random:tiny", interface=CONFIG.interface, class_prompt="a {}")
    with pytest.raises(FindError, match="were made with another config"):
        FINDModule(other, weights=str(tmp_path))


def test_a_built_model_is_trained_in_place(data, tmp_path):
    """Its interface changes, its foundations do not, and what is saved is this model."""
    model = FIND.build(CONFIG)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    module = FINDModule(model=model, learning_rate=1e-3, warmup=0.0)
    assert module.find is model
    trainer(tmp_path, max_steps=1).fit(module, datamodule=data)
    changed = {name.split(".")[0] for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"interface"}
    model.save_pretrained(tmp_path / "model")
    loaded = FIND.from_pretrained(tmp_path / "model")
    assert loaded.config == model.config
    categories = data.categories
    assert loaded.trained_classes.names == tuple(one.words for one in categories)
    assert loaded.trained_classes.is_thing == tuple(one.is_thing for one in categories)
    for name, value in loaded.interface.state_dict().items():
        assert torch.equal(value, model.interface.state_dict()[name]), name


def test_a_built_model_and_a_description_of_one_are_refused_together():
    model = FIND.build(CONFIG)
    for other in ({"config": CONFIG}, {"weights": "find-tiny"}):
        with pytest.raises(FindError, match=f"either a built model or {next(iter(other))}, not both"):
            FINDModule(model=model, **other)
    with pytest.raises(FindError, match=r"needs a config .* or a built model"):
        FINDModule()
    with pytest.raises(FindError, match="of type Interface"):
        FINDModule(model=model.interface)


def test_widths_that_cut_nothing_off_are_refused():
    with pytest.raises(
        FindError, match=r"nested_widths \[24\]: embeddings can be truncated to less than semantic_width, 24"
    ):
        FINDModule(CONFIG, nested_widths=(8, 24))


def test_training_keeps_nothing_of_the_weights_that_it_changes_and_leaves_alone_what_no_loss_reads(tmp_path):
    """Embeddings of class names are the old weights'; the memories of rounds of clicks would never get a gradient."""
    config = replace(CONFIG, conventions=Conventions(memories=2))
    trained = FIND.build(config)
    trained.known_classes = {"dog": trained.embed_classes(["dog"])[0]}
    trained.save_pretrained(tmp_path)
    assert FIND.from_pretrained(tmp_path).known_classes
    module = FINDModule(config, weights=str(tmp_path))
    frozen = {name for name, weight in module.find.interface.named_parameters() if not weight.requires_grad}
    assert frozen == {"memories.features", "memories.positions"}
    module.find.save_pretrained(tmp_path)
    assert not FIND.from_pretrained(tmp_path).known_classes


def test_a_run_without_an_end_needs_its_minutes(data, tmp_path):
    with pytest.raises(FindError, match="the run has no end"):
        trainer(tmp_path, max_epochs=-1).fit(FINDModule(CONFIG), datamodule=data)
    run = trainer(tmp_path, max_epochs=-1, limit_train_batches=1)
    run.fit(FINDModule(CONFIG, minutes=1 / 120), datamodule=data)
    assert run.global_step >= 1


def test_deterministic_steps_repeat_to_the_last_bit(data, tmp_path):
    def trained() -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        module = FINDModule(CONFIG, learning_rate=1e-3, mask_sampling=RandomPoints(200), deep_supervision=True)
        data.training = None
        trainer(tmp_path, max_steps=2, deterministic=True).fit(module, datamodule=data)
        return module.state_dict()

    try:
        one, two = trained(), trained()
    finally:
        torch.use_deterministic_algorithms(False)
    assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def test_deterministic_is_refused_where_pytorch_cannot_keep_it():
    torch.use_deterministic_algorithms(True)
    try:
        check_deterministic(torch.device("cpu"))
        with pytest.raises(FindError, match=r"deterministic true: on cuda .*deterministic warn"):
            check_deterministic(torch.device("cuda"))
        torch.use_deterministic_algorithms(True, warn_only=True)
        check_deterministic(torch.device("cuda"))
    finally:
        torch.use_deterministic_algorithms(False)
