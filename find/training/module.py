"""The Lightning module: one step over all tasks; checkpoints hold the interface and never the frozen foundations."""

import json
import math
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

import lightning as L
import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from find.data.batch import Batch
from find.errors import CheckpointError, DivergenceError, InputError
from find.model.checkpoint import Checkpoint
from find.model.class_sets import ClassSet
from find.model.config import FINDConfig
from find.model.model import FIND
from find.tasks.points import MaskSampling
from find.training.class_words import warn_unknown_classes
from find.training.criterion import Criterion, merged_weights
from find.training.distributed import is_distributed, mean_over_processes
from find.training.optimisation import Progress, adamw, check_deterministic, idle_parameters, warmup_cosine
from find.training.sharding import WholeStep, shard
from find.training.text_cache import CachedLanguage


class FINDModule(L.LightningModule):
    """Trains the interface on batches of all tasks.

    Args:
        config: the model's configuration.
        model: train this model instead of building one; it is changed in place. Not together with `config` or
            `weights`.
        learning_rate, weight_decay: parameters of AdamW; norms, biases and learned queries do not decay.
        warmup: fraction of the run in which the learning rate rises.
        minutes: stop after this many minutes of training if the run's steps take longer; the learning rate reaches zero
            by then.
        loss_weights: loss weights by name, where they differ from the tasks' defaults, such as
            {caption: 3.0, grounding: {dice: 5}}.
        mask_sampling: how the points are chosen at which masks are compared; default: all positions of the mask
            features.
        deep_supervision: apply the segmentation losses before every layer, too.
        nested_widths: apply the retrieval losses to embeddings truncated to these widths, too, so that searches can use
            truncated vectors (`dim` in `Album.search`).
        text_cache: folder that caches the language encoder's features, so that each distinct text is encoded once; can
            be filled in advance by `findvl data encode-text`, and shared by runs and processes; "{default_root_dir}" in
            it stands for `--trainer.default_root_dir` on the command line.
        text_cache_limit: maximum size of the cache in gigabytes; texts beyond it are encoded in each step.
        weights: start from these trained weights instead of new ones; "{folder}" in `config` is their folder.
    """

    def __init__(
        self,
        config: FINDConfig | None = None,
        *,
        model: FIND | None = None,
        learning_rate: float = 1e-4,
        weight_decay: float = 0.05,
        warmup: float = 0.02,
        minutes: float | None = None,
        loss_weights: dict[str, float | dict[str, float]] | None = None,
        mask_sampling: MaskSampling | None = None,
        deep_supervision: bool = False,
        nested_widths: Sequence[int] = (),
        text_cache: str | None = None,
        text_cache_limit: float = 100.0,
        weights: str | None = None,
    ) -> None:
        super().__init__()
        self.find = _model_to_train(config, model, weights)
        self.find.known_classes = {}  # they are of the weights before the run
        if text_cache is not None:
            self.find.language = CachedLanguage(self.find.language, text_cache, limit=text_cache_limit)
        full = self.find.config.interface.semantic_width
        wide = [width for width in nested_widths if not 0 < width < full]
        if wide:
            raise InputError(
                f"nested_widths {wide}: embeddings can be truncated to less than semantic_width, {full}, and to 1 at "
                "least"
            )
        self.find.nested_widths = tuple(nested_widths)
        for idle in idle_parameters(self.find.interface):
            idle.requires_grad_(False)
        merged_weights(list(self.find.tasks.values()), loss_weights or {})  # reports a misspelt name at once
        self.criterion = Criterion(
            weights=loss_weights,
            sampling=mask_sampling,
            deep_supervision=deep_supervision,
            nested_widths=nested_widths,
        )
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.warmup = warmup
        self.minutes = minutes
        self.weights = weights
        self.seconds_spent = 0.0  # in the run that the checkpoint comes from
        self.class_names: list[str] = []
        self.strict_loading = False  # checkpoints do not contain the foundations

    @property
    def _ddp_params_and_buffers_to_ignore(self) -> list[str]:
        """Called by DDP: every process builds the foundations itself, so they need not be broadcast."""
        names = (name for part in (self.named_parameters(), self.named_buffers()) for name, _ in part)
        return [name for name in names if not name.startswith("find.interface.")]

    def setup(self, stage: str) -> None:
        if stage == "fit":
            check_deterministic(self.trainer.strategy.root_device)
        categories = self.trainer.datamodule.categories
        self.class_names = [category.words for category in categories]
        if stage == "fit":
            warn_unknown_classes(self.find.language, self.class_names)
            is_thing = tuple(category.is_thing for category in categories)
            self.find.trained_classes = ClassSet(tuple(self.class_names), is_thing)

    def configure_model(self) -> None:
        """Shards the interface over the processes if `--trainer.strategy sharded` is set."""
        if self.device_mesh is not None and not isinstance(self.criterion, WholeStep):
            # Not as a child: the interface is one of `find` already.
            self.__dict__["criterion"] = shard(self.criterion, self.find.interface, self.device_mesh)

    def configure_optimizers(self) -> dict[str, Any]:
        steps = self.trainer.estimated_stepping_batches
        if math.isinf(steps) and self.minutes is None:
            raise InputError("the run has no end: give --trainer.max_epochs, --trainer.max_steps or --model.minutes")
        optimizer = adamw(self.find.interface, learning_rate=self.learning_rate, weight_decay=self.weight_decay)
        self.progress = Progress(steps=steps, minutes=self.minutes, spent=self.seconds_spent)
        self.share_next = 0.0  # not before the first step, which starts the clock
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda _: max(warmup_cosine(self.share_next, warmup=self.warmup), 1e-4)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    @property
    def text_cache(self) -> CachedLanguage | None:
        language = self.find.language
        return language if isinstance(language, CachedLanguage) else None

    def on_train_epoch_end(self) -> None:
        if self.text_cache is not None:
            self.text_cache.store.flush()

    def teardown(self, stage: str) -> None:
        if self.text_cache is not None:
            self.text_cache.store.flush()
            rank_zero_info(str(self.text_cache.report()))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        return self._loss("train", batch)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._loss("val", batch)

    def on_fit_start(self) -> None:
        self.seed = torch.initial_seed()

    def on_train_batch_start(self, *_: Any) -> None:
        """The clocks of processes differ: the first process's clock decides.

        Random numbers in layers are seeded by the step, so a resumed run draws the same ones.
        """
        self.progress.at(self.global_step)
        self.share_next = max(self.share_next, self.progress.after(self.global_step))  # never back
        if self.minutes is not None:  # it takes until the device has done the step before
            self.share_next = self.trainer.strategy.broadcast(self.share_next)
        place = (self.seed, self.trainer.fit_loop.total_batch_idx, self.global_rank)
        torch.manual_seed(int(np.random.SeedSequence(place).generate_state(1)[0]))

    def on_train_batch_end(self, *_: Any) -> None:
        if self.minutes is not None and self.share_next >= 1:
            self.trainer.should_stop = True

    @property
    def early_end(self) -> str | None:
        """The last step of a run that was stopped by its time budget, in words; None for any other run."""
        if not self.progress.ended_early(self.global_step):
            return None
        return f"stopped at step {self.global_step} of {self.progress.steps:.0f}"

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The parameters of the interface only."""
        state = super().state_dict(*args, **kwargs)
        return {name: value for name, value in state.items() if ".interface." in name}

    @cached_property
    def foundations(self) -> dict[str, str]:
        """Their fingerprints."""
        return self.find.foundations

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["find"] = {
            "config": self.find.config.to_dict(),
            "foundations": self.foundations,
            "seconds": self.progress.seconds,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Rejects checkpoints of other models; Lightning's own loading must be lenient about missing keys."""
        source = "the checkpoint" if self._trainer is None else str(self.trainer.ckpt_path)
        about = checkpoint.get("find")
        if about is None:
            raise CheckpointError(f"{source} is not a checkpoint of `findvl fit`, or was made by another version")
        config = FINDConfig.from_dict(about["config"], source=source)
        if config != self.find.config:
            raise CheckpointError(
                f"{source} was made with another model.config than this run's; resume with the config.yaml beside it"
            )
        prefix = "find.interface."
        weights = {name.removeprefix(prefix): value for name, value in checkpoint.get("state_dict", {}).items()}
        trained = Checkpoint(config, about["foundations"], weights, source)
        trained.check_foundations(**self.foundations)
        if "state_dict" in checkpoint:  # a sharding strategy has loaded it already
            trained.load_into(self.find.interface)
        self.seconds_spent = about["seconds"]

    def _loss(self, stage: str, batch: Batch) -> Tensor:
        """The sum of all tasks' losses; logs each loss and the sum, averaged over processes."""
        losses: dict[str, Tensor] = {}
        try:
            losses = self.criterion(self.find, batch, self.class_names)
        except DivergenceError:
            self._stop_at_nan(batch, losses)
        values = torch.stack(list(losses.values()))
        *joint, images = mean_over_processes(torch.cat([values, values.new_full((1,), len(batch))]))
        if not torch.stack(joint).isfinite().all():
            self._stop_at_nan(batch, losses)
        for name, value in zip((*losses, "loss"), (*joint, sum(joint)), strict=True):
            self.log(
                f"{stage}/{name}",
                value,
                prog_bar=stage == "train" or name == "loss",
                batch_size=images,
                sync_dist=stage == "val",
            )
        return values.sum()

    def _stop_at_nan(self, batch: Batch, losses: dict[str, Tensor]) -> NoReturn:
        """`losses` is empty if matching failed already."""
        rank = f"-rank{self.global_rank}" if is_distributed() else ""
        file = Path(self.trainer.default_root_dir) / f"nan_batch{rank}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        record = {
            "step": self.global_step,
            "image_ids": batch.image_ids,
            "losses": {name: value.item() for name, value in losses.items()},
        }
        file.write_text(json.dumps(record, indent=2) + "\n")
        broken = ", ".join(name for name, value in losses.items() if not value.isfinite())
        broken = broken or ("another process's batch" if losses else "matching")
        raise DivergenceError(
            f"the loss is not a number at step {self.global_step} ({broken}); the batch's image ids are in {file}. "
            "Lower the learning rate, or train in float32, and look at those images"
        )


def _model_to_train(config: FINDConfig | None, model: FIND | None, weights: str | None) -> FIND:
    if model is not None:
        if config is not None or weights is not None:
            other = "config" if config is not None else "weights"
            raise InputError(f"FINDModule takes either a built model or {other}, not both")
        if not isinstance(model, FIND):
            raise InputError(
                f"model must be a FIND (FIND.build, FIND.from_pretrained), but it is of type {type(model).__name__}"
            )
        return model
    if config is None:
        raise InputError("FINDModule needs a config (a FINDConfig) or a built model")
    return FIND.build(config) if weights is None else FIND.from_pretrained(weights, config=config)
