"""Pictures that come again, as they do in a service, are not encoded again: the last ones are kept, to some bytes."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import UInt8

from find.images.canvas import ImageGeometry
from find.model.features import EncodedBatch

Pixels = UInt8[np.ndarray, "_ _ 3"]
Encode = Callable[[Sequence[Pixels], Sequence[ImageGeometry]], EncodedBatch]


class FeatureCache:
    """Keeps what a model has encoded last, known by the pixels: `model.feature_cache = FeatureCache(1 << 30)`.

    Useful if pictures are queried several times by callers that cannot keep their features. It
    is right as long as the model's weights do not change; `clear` it then. Not for several threads at a time.

    Args:
        most_bytes: of all that is kept, on the model's device; looked at whenever a picture comes.
    """

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self._kept: OrderedDict[bytes, EncodedBatch] = OrderedDict()  # of one image each, the last one used at the end

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def nbytes(self) -> int:
        return sum(one.nbytes for one in self._kept.values())

    def clear(self) -> None:
        self._kept.clear()

    def encode(
        self, pictures: Sequence[Pixels], frames: Sequence[ImageGeometry], device: torch.device, encode: Encode
    ) -> EncodedBatch:
        """Pictures of one canvas as a batch on a device, of which `encode` gets those that are not known."""
        keys = [_key(picture) for picture in pictures]
        found = {key: self._kept[key] for key in keys if key in self._kept and self._kept[key].device == device}
        new = list({key: number for number, key in enumerate(keys) if key not in found}.values())
        if new:
            batch = encode([pictures[number] for number in new], [frames[number] for number in new])
            alone = (
                [batch]
                if len(new) == 1
                else [EncodedBatch.concatenate([batch.rows(k, k + 1)]) for k in range(len(new))]
            )
            found |= zip((keys[number] for number in new), alone, strict=True)
        for key in keys:
            self._kept[key] = found[key]
            self._kept.move_to_end(key)
        while self._kept and self.nbytes > self.most_bytes:
            self._kept.popitem(last=False)
        return found[keys[0]] if len(keys) == 1 else EncodedBatch.concatenate([found[key] for key in keys])


def _key(picture: Pixels) -> bytes:
    digest = hashlib.blake2b(repr(picture.shape).encode(), digest_size=16)
    digest.update(picture.tobytes())
    return digest.digest()
