"""The batch sampler: images that refer to each other are batched together, and batches are divided among ranks."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from torch.utils.data import Sampler

from find.data.data_split import DataSplit
from find.errors import InputError


@dataclass(frozen=True)
class Draw:
    """A planned batch: positions in the folder, and the random seed of each image."""

    positions: tuple[int, ...]
    seeds: tuple[int, ...]


def reference_links(folder: DataSplit) -> list[tuple[int, ...]]:
    """For each position, the positions of images that its phrases refer to, and of images that refer to it."""
    links: list[dict[int, None]] = [{} for _ in range(len(folder))]
    for sentence in folder.sentences:
        here = folder.position(sentence.image_id)
        for phrase in sentence.phrases:
            if phrase.reference is not None:
                there = folder.position(phrase.reference.image_id)
                if there != here:
                    links[here][there] = None
                    links[there][here] = None
    return [tuple(linked) for linked in links]


class ReferenceBatchSampler(Sampler[Draw]):
    """Batches of images, each image once per epoch, in which many images are together with one that they refer to.

    A batch starts with a random image; then mostly the image with the most links to the batch is added, otherwise the
    next random one. Pass it to a `DataLoader` as `sampler=` with `batch_size=None`. In distributed training every rank
    draws the same global batches and takes its own slice, so no image is seen twice; switch Lightning's own
    replacement off (`Trainer(use_distributed_sampler=False)`).

    Args:
        links: for each position the positions linked with it (`reference_links`).
        batch_size: images per batch and rank.
        linked_share: probability that a linked image is added if there is one.
        shuffle: False gives the same batches, in data order as far as links allow, in every epoch.
        drop_last: drop images that do not fill a global batch. Fewer images than one batch still form one, and are
            repeated if there are fewer than ranks. If False, every image is used exactly once, in batches of nearly
            equal size; with `batch_size` 1 some slices may have two images.
        rank, world_size: rank of this process, and number of processes.

    Raises FindError for fewer images than ranks if none may repeat.
    """

    def __init__(
        self,
        links: Sequence[Sequence[int]],
        *,
        batch_size: int,
        linked_share: float = 0.75,
        shuffle: bool = True,
        drop_last: bool = True,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size is at least 1, not {batch_size}")
        if not 0 <= rank < world_size:
            raise ValueError(f"rank {rank} is not one of {world_size}")
        if not drop_last and len(links) < world_size:
            raise InputError(
                f"{len(links)} images cannot be shared by {world_size} processes so that none is seen twice; "
                "use fewer processes, or leave this split out (limit_val_batches: 0)"
            )
        self.links = links
        self.batch_size = batch_size
        self.linked_share = linked_share
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.epoch = 0
        self._seen = (0, 0)

    def set_epoch(self, epoch: int) -> None:
        """Selects the order of an epoch; called by Lightning."""
        self.epoch = epoch

    def resume_at(self, epoch: int, batches: int) -> None:
        """Lets the next iteration of this epoch skip the batches that an interrupted run has seen."""
        self.epoch = epoch
        self._seen = (epoch, batches)

    @property
    def seen(self) -> int:
        """Number of batches that the next iteration skips."""
        epoch, batches = self._seen
        return batches if epoch == self.epoch else 0

    @property
    def size(self) -> int:
        """Number of images per step, over all ranks."""
        return self.batch_size * self.world_size

    def __len__(self) -> int:
        return len(self._sizes())

    def __iter__(self) -> Iterator[Draw]:
        epoch = self.epoch if self.shuffle else 0
        rng = np.random.default_rng((self.seed, epoch))
        seen = self.seen
        self._seen = (0, 0)
        order = rng.permutation(len(self.links)).tolist() if self.shuffle else list(range(len(self.links)))
        waiting, fresh = set(order), iter(order)
        for number, size in enumerate(self._sizes()):
            batch = self._grow(waiting, fresh, size, rng)
            seeds = rng.integers(2**63, size=len(batch)).tolist()
            if number >= seen:
                yield Draw(tuple(self._share(batch)), tuple(self._share(seeds)))

    def _sizes(self) -> list[int]:
        """Sizes of the global batches. None is smaller than the number of ranks, if there are enough images."""
        images, size = len(self.links), self.size
        if self.drop_last:
            return [size] * (images // size) or [images]
        parts = min(-(-images // size), images // self.world_size)
        bounds = [-(-images * k // parts) for k in range(parts + 1)]
        return [end - start for start, end in pairwise(bounds)]

    def _grow(self, waiting: set[int], fresh: Iterator[int], size: int, rng: np.random.Generator) -> list[int]:
        """Removes one global batch from `waiting`; `fresh` iterates in the epoch's order."""
        batch: list[int] = []
        counts: dict[int, int] = {}
        heap: list[tuple[int, float, int]] = []  # (-links, random, position): best first, stale entries among them
        while waiting and len(batch) < size:
            chosen = None
            if heap and rng.random() < self.linked_share:
                while heap and heap[0][2] not in waiting:
                    heapq.heappop(heap)
                chosen = heapq.heappop(heap)[2] if heap else None
            if chosen is None:
                chosen = next(position for position in fresh if position in waiting)
            waiting.remove(chosen)
            batch.append(chosen)
            for other in self.links[chosen]:
                if other in waiting:
                    counts[other] = counts.get(other, 0) + 1
                    heapq.heappush(heap, (-counts[other], rng.random(), other))
        return batch

    def _share(self, batch: list[int]) -> list[int]:
        """This rank's contiguous part, so that linked images stay together; sizes differ by at most one."""
        if len(batch) < self.world_size:
            return [batch[self.rank % len(batch)]]
        bounds = [len(batch) * rank // self.world_size for rank in (self.rank, self.rank + 1)]
        return batch[slice(*bounds)]
