"""The data of a training run: data loaders of `Batch` for two splits of a data set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch.utils.data import DataLoader, Dataset

from find.data.batch import Batch
from find.data.cache import CachedFolder
from find.data.collate import Collate, PromptLimits
from find.data.data_split import DataSplit, check_options, load_reader
from find.data.sample import Category, Sample
from find.data.sampler import Draw, ReferenceBatchSampler, reference_links
from find.data.transforms import Resize, Scaling, Transform
from find.errors import DataError, FindError
from find.images.canvas import Resizing
from find.tasks.core import load_tasks
from find.tasks.task import Task


class BatchDataset(Dataset[Batch]):
    """A data set of whole batches: reads the images of a `Draw`, transforms and collates them.

    All randomness comes from the draw's seeds, so a batch does not depend on the process that makes it, and the
    augmentation of an image does not depend on the rest of the batch.
    """

    def __init__(
        self, folder: DataSplit | CachedFolder, collate: Collate, transforms: Sequence[Transform] = ()
    ) -> None:
        self.folder = folder
        self.collate = collate
        self.transforms = tuple(transforms)

    def __len__(self) -> int:
        return len(self.folder)

    def __getitem__(self, draw: Draw) -> Batch:
        rngs = [np.random.default_rng(seed) for seed in draw.seeds]
        samples = [self.augment(self.folder[position], rng) for position, rng in zip(draw.positions, rngs, strict=True)]
        return self.collate(samples, rngs)

    def augment(self, sample: Sample, rng: np.random.Generator) -> Sample:
        for transform in self.transforms:
            sample = transform(sample, rng)
        return sample


class BatchLoader(DataLoader[Batch]):
    """A loader that can resume in the middle of an epoch, after the batches already seen."""

    taken = 0

    def __iter__(self) -> Iterator[Batch]:
        self.taken = self.sampler.seen
        for batch in super().__iter__():
            self.taken += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        return {"epoch": self.sampler.epoch, "batches": self.taken, "images": self.sampler.size}

    def load_state_dict(self, state: dict[str, int]) -> None:
        if state["images"] != self.sampler.size:
            rank_zero_warn(
                f"the checkpoint's run took {state['images']} images a step over all processes, this one takes "
                f"{self.sampler.size}: of the epoch that it is in, some images are seen twice or not at all"
            )
        self.sampler.resume_at(state["epoch"], state["batches"])


class FindDataModule(L.LightningDataModule):
    """Loaders of training and validation batches from a data set: COCO's panoptic layout, or what another reader reads.

    In distributed training give the trainer `use_distributed_sampler=False`: the sampler deals images to ranks.

    Args:
        root: the folder of the data set; for COCO the one that holds annotations/ and the images.
        reader: the data reader, by a short name (coco, yolo, or one declared by an installed package), by its class
            path, or the class itself (see `find.data.data_split`).
        reader_options: arguments of the reader's constructor besides root and split.
        train_split, val_split: splits to read; by default the reader's names, for COCO "train2017" and "val2017".
        batch_size: images per batch and rank.
        num_workers: loader processes; 0 loads in the training process.
        resizing: how images are resized before augmentation, as the model does in inference (`FIND.resizing`); None:
            not at all. Not applied if `transforms` scale.
        divisor: coarsest stride of the vision encoder; images are padded to a multiple of it.
        placeholder: the word that replaces a visual entity in a sentence (the language encoder's `placeholder`).
        tasks: the tasks that draw prompts and targets from samples (the model's `tasks`); by default the six of FIND.
        max_phrases, max_strokes, max_entities: maximum number of prompts per image (see `PromptLimits`).
        max_segments: maximum number of segments per image; the largest are used. A model cannot find more than it has
            proposals. None: all.
        transforms: augmentations of the training images, after resizing.
        cache_in_memory: keep decoded images in memory (see `CachedFolder`; about 0.1 MB for 160 x 160). With worker
            processes the whole split is decoded before they start, so that they share it.
        seed: seed of the order, augmentations and drawn prompts.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        reader: str | type[DataSplit] = "coco",
        reader_options: Mapping[str, Any] | None = None,
        train_split: str | None = None,
        val_split: str | None = None,
        batch_size: int = 32,
        num_workers: int = 0,
        resizing: Resizing | None = None,
        divisor: int = 32,
        placeholder: str = "[region]",
        tasks: Sequence[Task] | None = None,
        max_phrases: int = 8,
        max_strokes: int = 4,
        max_entities: int = 6,
        max_segments: int | None = None,
        transforms: Sequence[Transform] = (),
        cache_in_memory: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.root = Path(root)
        self.reader = load_reader(reader) if isinstance(reader, str) else reader
        self.reader_options = dict(reader_options or {})
        check_options(self.reader, self.reader_options)
        self.train_split = train_split or self.reader.train_split
        self.val_split = val_split or self.reader.val_split
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.resizing = resizing
        self.divisor = divisor
        self.placeholder = placeholder
        self.tasks = tasks
        self.max_phrases = max_phrases
        self.max_strokes = max_strokes
        self.max_entities = max_entities
        self.max_segments = max_segments
        self.transforms = tuple(transforms)
        self.cache_in_memory = cache_in_memory
        self.seed = seed
        self.train_folder: DataSplit | None = None
        self.val_folder: DataSplit | None = None
        self.training: BatchLoader | None = None
        self._interrupted: dict[str, int] | None = None  # position of the resumed run

    def setup(self, stage: str | None = None) -> None:
        """Reads the annotations of the splits that the stage needs.

        Raises:
            FindError: parts of the folder are missing or inconsistent, an image is too narrow to resize, or an image
                that is not resized is smaller than the divisor.
        """
        if stage in (None, "fit") and self.train_folder is None:
            self.train_folder = self._open(self.train_split)
        if self.val_folder is None:
            self.val_folder = self._open(self.val_split)
        if self.train_folder is not None and self.train_folder.categories != self.val_folder.categories:
            raise DataError(
                f"{self.root}: {self.train_split} and {self.val_split} list different categories. "
                "Give both the same list, in the same order."
            )

    @property
    def categories(self) -> tuple[Category, ...]:
        """The classes that `Batch.labels` index."""
        if self.val_folder is None:
            self.setup("validate")
        return self.val_folder.categories

    def train_dataloader(self) -> BatchLoader:
        self.training = self._loader(self.train_folder, self.transforms, shuffle=True)
        if self._interrupted is not None:
            self.training.load_state_dict(self._interrupted)
            self._interrupted = None
        return self.training

    def state_dict(self) -> dict[str, Any]:
        """For checkpoints: the position in the epoch.

        Lightning would store the loader's state itself, but does not restore it if the loader's length was read before.
        """
        return {} if self.training is None else {"training": self.training.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores the position, before the loader is made, or after it if a strategy needs optimizers, and hence its
        length, first."""
        self._interrupted = state.get("training")
        if self.training is not None and self._interrupted is not None:
            self.training.load_state_dict(self._interrupted)
            self._interrupted = None

    def val_dataloader(self) -> BatchLoader:
        return self._loader(self.val_folder, (), shuffle=False)

    def open(self, split: str, **options: Any) -> DataSplit:
        """A split of the data set without augmentation, for evaluation.

        Args:
            options: reader options that override or extend `reader_options`.

        Raises:
            InputError: the reader does not have an option.
            DataError: the data cannot be read.
        """
        options = self.reader_options | options
        check_options(self.reader, options)
        return self.reader(self.root, split, **options)

    def _open(self, split: str) -> DataSplit:
        folder = self.open(split)
        if self.max_segments is not None:
            self._warn_left_out(folder)
        if self.resizing is not None:
            self._check_shapes(folder)
            return folder
        sizes = folder.sizes()
        small = np.flatnonzero(sizes.min(axis=1) < self.divisor)
        if len(small):
            position = int(small[0])
            height, width = sizes[position].tolist()
            raise DataError(
                f"{self.root / split}: {len(small)} images are smaller than the stride {self.divisor} of the vision "
                f"encoder, for example {folder.file_name(folder.image_ids[position])} of {width} x {height} pixels. "
                "Set resizing, or take them out of the annotations."
            )
        return folder

    def _warn_left_out(self, folder: DataSplit) -> None:
        excess = folder.segment_counts() - self.max_segments
        if (excess > 0).any():
            rank_zero_warn(
                f"{folder.split}: {np.count_nonzero(excess > 0)} of {len(folder)} images have more than "
                f"{self.max_segments} segments, which is all that the model has proposals for; their "
                f"{excess[excess > 0].sum()} smallest segments are left out in training"
            )

    def _check_shapes(self, folder: DataSplit) -> None:
        sizes, positions = np.unique(folder.sizes(), axis=0, return_index=True)
        for (height, width), position in zip(sizes.tolist(), positions.tolist(), strict=True):
            try:
                self.resizing.fit(height, width)
            except FindError as error:
                where = self.root / folder.split / folder.file_name(folder.image_ids[position])
                raise DataError(f"{where}: {error}, or take it out of the annotations") from error

    def _loader(self, folder: DataSplit, transforms: Sequence[Transform], *, shuffle: bool) -> BatchLoader:
        sized = any(isinstance(transform, Scaling) for transform in transforms)
        resize = () if self.resizing is None or sized else (Resize(self.resizing),)
        source: DataSplit | CachedFolder = folder
        if self.cache_in_memory:
            source = CachedFolder(folder)
            if self.num_workers:
                source.fill()
        collate = Collate(
            folder.categories,
            load_tasks() if self.tasks is None else self.tasks,
            divisor=self.divisor,
            placeholder=self.placeholder,
            limits=PromptLimits(self.max_phrases, self.max_strokes, self.max_entities),
            max_segments=self.max_segments,
        )
        sampler = ReferenceBatchSampler(
            reference_links(folder),
            batch_size=self.batch_size,
            shuffle=shuffle,
            drop_last=shuffle,
            seed=self.seed,
            rank=self.trainer.global_rank if self.trainer else 0,
            world_size=self.trainer.world_size if self.trainer else 1,
        )
        return BatchLoader(
            BatchDataset(source, collate, (*resize, *transforms)),
            batch_size=None,  # the data set makes whole batches
            sampler=sampler,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=torch.cuda.is_available(),
        )
