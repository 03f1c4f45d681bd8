"""The Lightning module: one step over all tasks; checkpoints hold the interface and never the frozen foundations."""

import json
from pathlib import Path
from typing import Any, NoReturn

import lightning as L
import torch
from torch import Tensor

from find.config import FINDConfig
from find.data.batch import Batch
from find.errors import FindError
from find.model import FIND
from find.tasks.matching import DivergenceError
from find.tasks.points import MaskSampling
from find.training.criterion import Criterion, LossWeights
from find.training.optimisation import Progress, adamw, warmup_cosine


class FINDModule(L.LightningModule):
    """Trains the interface on batches of all tasks.

    Args:
        config: what to build.
        learning_rate, weight_decay: of AdamW; norms, biases and learned queries do not decay.
        warmup: share of the run in which the learning rate rises.
        minutes: stop after so many minutes of training, and let the learning rate reach zero by then.
        loss_weights: of the tasks.
        mask_sampling: where masks are compared; default: at every place of the mask features.
        deep_supervision: the segmentation losses also before every layer.
        weights: start from these trained weights instead of new ones; "{folder}" in `config` is their folder.
    """

    def __init__(
        self,
        config: FINDConfig,
        *,
        learning_rate: float = 1e-4,
        weight_decay: float = 0.05,
        warmup: float = 0.02,
        minutes: float | None = None,
        loss_weights: LossWeights | None = None,
        mask_sampling: MaskSampling | None = None,
        deep_supervision: bool = False,
        weights: str | None = None,
    ) -> None:
        super().__init__()
        if weights is not None:
            config = config.in_folder(weights)
        self.find = FIND.build(config)
        if weights is not None:
            trained = FIND.from_pretrained(weights)
            if trained.config != config:
                raise FindError(f"weights {weights!r} were made with another config; give that one, or no weights")
            self.find = trained
        self.criterion = Criterion(weights=loss_weights, sampling=mask_sampling, deep_supervision=deep_supervision)
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.warmup = warmup
        self.minutes = minutes
        self.class_names: list[str] = []
        self.strict_loading = False  # a checkpoint lacks the foundations by design

    def setup(self, stage: str) -> None:
        self.class_names = [category.words for category in self.trainer.datamodule.categories]

    def configure_optimizers(self) -> dict[str, Any]:
        optimizer = adamw(self.find.interface, learning_rate=self.learning_rate, weight_decay=self.weight_decay)
        self.progress = Progress(steps=int(self.trainer.estimated_stepping_batches), minutes=self.minutes)
        self.share_done = self.progress.at(self.trainer.global_step)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda _: max(warmup_cosine(self.share_done, warmup=self.warmup), 1e-4)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        try:
            losses = self.criterion(self.find, batch, self.class_names)
        except DivergenceError:
            self._stop_at_nan(batch, {})
        loss = torch.stack(list(losses.values())).sum()
        self._log("train", losses, loss, len(batch))
        if not torch.isfinite(loss):
            self._stop_at_nan(batch, losses)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        losses = self.criterion(self.find, batch, self.class_names)
        self._log("val", losses, torch.stack(list(losses.values())).sum(), len(batch))

    def on_train_batch_start(self, *_: Any) -> None:
        """The clocks of several processes differ; the first one's counts."""
        self.share_done = self.trainer.strategy.broadcast(self.progress.at(self.global_step))

    def on_train_batch_end(self, *_: Any) -> None:
        if self.minutes is not None and self.share_done >= 1:
            self.trainer.should_stop = True

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        return batch.to(device, non_blocking=True)

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The interface only."""
        state = super().state_dict(*args, **kwargs)
        return {name: value for name, value in state.items() if ".interface." in name}

    def _log(self, stage: str, losses: dict[str, Tensor], loss: Tensor, size: int) -> None:
        for name, value in losses.items():
            self.log(f"{stage}/{name}", value.detach(), prog_bar=stage == "train", batch_size=size)
        self.log(f"{stage}/loss", loss.detach(), prog_bar=True, batch_size=size)

    def _stop_at_nan(self, batch: Batch, losses: dict[str, Tensor]) -> NoReturn:
        """`losses` is empty where not even the matching could be done."""
        file = Path(self.trainer.default_root_dir) / "nan_batch.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        record = {
            "step": self.global_step,
            "image_ids": batch.image_ids,
            "losses": {name: value.item() for name, value in losses.items()},
        }
        file.write_text(json.dumps(record, indent=2) + "\n")
        broken = ", ".join(name for name, value in losses.items() if not value.isfinite()) or "matching"
        raise FindError(
            f"the loss is not a number at step {self.global_step} ({broken}); the batch's image ids are in {file}. "
            "Lower the learning rate, or train in float32, and look at those images"
        )
