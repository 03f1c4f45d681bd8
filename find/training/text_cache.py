"""The language cache: a language encoder that encodes each distinct text once and caches its features on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from find.foundations import Frozen, LanguageEncoder, TextFeatures, TokenizedText, fingerprint
from find.foundations.base import device_of
from find.training.text_store import DIGEST_BYTES, StoredText, TextStore
from find.utils.progress import track
from find.utils.transfer import upload

FORMAT = 1
GIGABYTE = 10**9


@dataclass(frozen=True)
class CacheReport:
    """Numbers of look-ups and hits, and the size on disk."""

    folder: Path
    looked_up: int
    found: int
    texts: int
    megabytes: float
    left_out: int = 0

    def __str__(self) -> str:
        share = 100 * self.found / max(self.looked_up, 1)
        line = (
            f"text cache {self.folder}: {self.looked_up} texts looked up, {self.found} found ({share:.1f} %), "
            f"{self.looked_up - self.found} encoded; it holds {self.texts} texts in {self.megabytes:.1f} MB"
        )
        return line + (f", and is full: {self.left_out} texts were not added" if self.left_out else "")


class CachedLanguage(Frozen):
    """A `LanguageEncoder` that looks features up before it calls the wrapped encoder.

    A text's key is its tokens, so texts with equal tokens share an entry; offsets come from the tokenizer, which always
    runs. Features are stored in the data type in which the encoder computes them, so caching is lossless.

    Args:
        encoder: the wrapped encoder; the folder's name is a hash of its weights and of all else that features depend
            on.
        folder: the folder of all encoders' caches; this one's is a sub-folder.
        encoder_fingerprint: the encoder's fingerprint, if known already.
        limit: maximum size of this encoder's cache in gigabytes.
    """

    def __init__(
        self,
        encoder: LanguageEncoder,
        folder: str | Path,
        *,
        encoder_fingerprint: str | None = None,
        limit: float | None = None,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.spec = encoder.spec
        self.width = encoder.width
        self.pooled_dim = encoder.pooled_dim
        self.context_length = encoder.context_length
        self.placeholder = encoder.placeholder
        self.dtype = encoder.dtype
        self.tokenize = encoder.tokenize
        about = {
            "format": FORMAT,
            "encoder": type(encoder).__name__,
            "fingerprint": encoder_fingerprint or fingerprint(encoder),
            "block": encoder.spec.rpartition("#")[2] if "#" in encoder.spec else None,
            "dtype": str(encoder.dtype).removeprefix("torch."),
            "width": encoder.width,
        }
        key = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
        self.store = TextStore(Path(folder) / key[:16], limit=None if limit is None else int(limit * GIGABYTE))
        note = self.store.folder / "about.json"
        if not note.exists():  # for human readers
            note.write_text(json.dumps(about | {"spec": self.spec}, indent=2) + "\n")
        self.looked_up = self.found = 0
        self._given = encoder(encoder.tokenize(["a"])).tokens.dtype  # which may be wider than the type it computes in
        self.freeze()

    @torch.no_grad()
    def forward(self, tokenized: TokenizedText) -> TextFeatures:
        """The same as the encoder's output, on its device."""
        digests = _digests(tokenized)
        if not digests:
            return self.encoder(tokenized)
        texts = dict(zip(digests, self.store.get(digests), strict=True))
        self.looked_up += len(digests)
        self.found += sum(texts[digest] is not None for digest in digests)
        first = {digest: row for row, digest in reversed([*enumerate(digests)])}
        new = [row for digest, row in first.items() if texts[digest] is None]
        if new:
            for row, text in zip(new, self._encode(tokenized, new), strict=True):
                texts[digests[row]] = text
                self.store.add(digests[row], text)
        rows = [texts[digest] for digest in digests]
        device = device_of(self.encoder)
        tokens = nn.utils.rnn.pad_sequence([row.tokens for row in rows], batch_first=True)
        tokens = F.pad(tokens, (0, 0, 0, tokenized.ids.shape[1] - tokens.shape[1]))
        pooled = None if self.pooled_dim is None else torch.stack([row.pooled for row in rows])
        return TextFeatures(
            tokens=upload(tokens, device).to(self._given),
            padding=upload(tokenized.padding, device),
            offsets=upload(tokenized.offsets, device),
            pooled=None if pooled is None else upload(pooled, device).to(self._given),
        )

    def state_dict(self, *args: object, **kwargs: object) -> dict[str, Tensor]:
        """The encoder's fingerprint: the cache does not change the foundation."""
        return self.encoder.state_dict(*args, **kwargs)

    def fill(self, texts: Iterable[str], *, batch_size: int = 256, progress: bool = True) -> CacheReport:
        """Encodes and writes the texts that are missing; resumes after an interruption."""
        ordered = sorted(set(texts), key=len)  # minimises padding
        starts = range(0, len(ordered), batch_size)
        for start in track(starts, "encoding texts", shown=progress):
            self(self.tokenize(ordered[start : start + batch_size]))
        self.store.flush()
        return self.report()

    def report(self) -> CacheReport:
        store = self.store
        return CacheReport(
            store.folder, self.looked_up, self.found, len(store), store.nbytes / 1e6, left_out=store.left_out
        )

    def _encode(self, tokenized: TokenizedText, rows: Sequence[int]) -> list[StoredText]:
        padding = tokenized.padding[rows]
        lengths = (~padding).sum(dim=1).tolist()
        longest = max(lengths)
        features = self.encoder(
            TokenizedText(
                ids=tokenized.ids[rows, :longest],
                padding=padding[:, :longest],
                offsets=tokenized.offsets[rows, :longest],
                unknown=tuple(tokenized.unknown[row] for row in rows),
            )
        ).to("cpu", self.dtype)
        pooled = [None] * len(rows) if features.pooled is None else [row.clone() for row in features.pooled]
        return [
            StoredText(tokens[:length].clone(), whole)
            for tokens, length, whole in zip(features.tokens, lengths, pooled, strict=True)
        ]


def _digests(tokenized: TokenizedText) -> list[bytes]:
    lengths = (~tokenized.padding).sum(dim=1).tolist()
    ids = tokenized.ids.cpu().numpy()
    return [
        hashlib.blake2b(row[:length].tobytes(), digest_size=DIGEST_BYTES).digest()
        for row, length in zip(ids, lengths, strict=True)
    ]
