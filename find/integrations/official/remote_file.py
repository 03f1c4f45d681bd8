"""Downloads files of the Hugging Face hub into its cache and resumes interrupted downloads.

The hub's library discards partial downloads. Here they stay in the cache as `blobs/ETAG.incomplete` until they are
complete and the SHA-256 matches; then the library finds the file as one of its own.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from find.errors import CheckpointError
from find.foundations.source import DEFAULT_REVISION, Source, first_line
from find.utils.digests import sha256

SMALLEST = 10_000_000
"""Bytes of a file from which on it is worth going on with one."""
HTTP_LIBRARIES = ("httpx", "httpx2", "httpcore", "httpcore2")
SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository at a commit.

    Attributes:
        size: in bytes.
        etag: of a large file its SHA-256.
    """

    source: Source
    name: str
    commit: str
    size: int
    etag: str

    @classmethod
    def find(cls, source: Source, name: str) -> RemoteFile:
        """Queries the hub. Raises FindError if it does not answer, or denies this user access to the file."""
        from huggingface_hub import get_hf_file_metadata, hf_hub_url

        with source.reading(name), transport_errors():
            found = get_hf_file_metadata(hf_hub_url(source.name, name, revision=source.revision or DEFAULT_REVISION))
        if found.commit_hash is None or found.etag is None or found.size is None:
            raise CheckpointError(
                f"{source.spec}: the server of HF_ENDPOINT does not report size and commit of {name}; "
                "unset HF_ENDPOINT, or set it to a server with the hub's protocol"
            )
        return cls(source, name, found.commit_hash, found.size, found.etag)

    @property
    def blobs(self) -> Path:
        """The folder in which the hub's library keeps the repository's contents."""
        from huggingface_hub.constants import HF_HUB_CACHE
        from huggingface_hub.file_download import repo_folder_name

        return Path(HF_HUB_CACHE) / repo_folder_name(repo_id=self.source.name, repo_type="model") / "blobs"

    @property
    def partial(self) -> Path:
        return self.blobs / f"{self.etag}.incomplete"

    @property
    def lock(self) -> Path:
        """The lock that the hub's library also takes while it downloads this file."""
        return self.blobs.parents[1] / ".locks" / self.blobs.parent.name / f"{self.etag}.lock"

    @property
    def missing(self) -> int:
        """Bytes that are still to be fetched."""
        if cached(self.source, self.name, self.commit) is not None or (self.blobs / self.etag).exists():
            return 0
        return self.size - (self.partial.stat().st_size if self.partial.exists() else 0)

    def fetch(self) -> Path:
        """The file in the hub's cache.

        Raises FindError if the connection breaks, the disk is full or the file's digest is wrong; the message says how
        to continue.
        """
        from huggingface_hub import hf_hub_download
        from huggingface_hub.utils import WeakFileLock

        if self.size >= SMALLEST and self.missing:
            for folder in (self.blobs, self.lock.parent):
                folder.mkdir(parents=True, exist_ok=True)
            with WeakFileLock(self.lock), self.source.reading(self.name), self.explained():
                self._download()
        with self.source.reading(self.name), self.explained():
            return Path(hf_hub_download(self.source.name, self.name, revision=self.commit))

    def _download(self) -> None:
        """Downloads what is missing, and adds the complete file to the cache."""
        from huggingface_hub import get_hf_file_metadata, get_token, hf_hub_url
        from huggingface_hub.file_download import http_get
        from huggingface_hub.utils import build_hf_headers

        if not self.missing:  # another process has completed it
            return
        page = hf_hub_url(self.source.name, self.name, revision=self.commit)
        address = get_hf_file_metadata(page).location  # perhaps another server; signed for an hour, so requested now
        headers = build_hf_headers(token=get_token())
        if urlsplit(address).netloc != urlsplit(page).netloc:
            headers.pop("authorization", None)  # the token must not be sent to another server
        with self.partial.open("ab") as file:
            if file.tell() > self.size:
                file.truncate(0)
            http_get(
                address,
                file,
                resume_size=file.tell(),
                headers=headers,
                expected_size=self.size,
                displayed_filename=self.name,
            )
        if SHA256.fullmatch(self.etag) and sha256(self.partial) != self.etag:
            self.partial.unlink()
            raise CheckpointError(
                f"{self.source.spec}: {self.name} arrived damaged (its SHA-256 is not the hub's), and was removed; "
                "run the same again"
            )
        self.partial.replace(self.blobs / self.etag)

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turns exceptions of a download into one message that says how to continue."""
        from huggingface_hub.errors import (
            EntryNotFoundError,
            HfHubHTTPError,
            RepositoryNotFoundError,
            RevisionNotFoundError,
        )

        try:
            with transport_errors():
                yield
        except ConnectionError as error:
            there = self.size - self.missing
            raise CheckpointError(
                f"{self.source.spec}: the download of {self.name} broke off ({error}); {gigabytes(there)} of "
                f"{gigabytes(self.size)} are here: run the same command again to resume"
            ) from error
        except (EntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError):  # gated ones are among them
            raise
        except HfHubHTTPError as error:
            raise CheckpointError(
                f"{self.source.spec}: the download of {self.name} was refused ({first_line(error)}); "
                "run the same command again: the download resumes"
            ) from error
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise CheckpointError(
                    f"{self.source.spec}: the disk is full; free {gigabytes(self.missing)} where {self.blobs} is (or "
                    "let HF_HOME name a folder on another disk), then run the same again"
                ) from error
            if "Consistency check failed" not in str(error):
                raise
            self.partial.unlink(missing_ok=True)
            raise CheckpointError(
                f"{self.source.spec}: what came of {self.name} is not of the size that the hub reported, "
                f"{gigabytes(self.size)}, and was removed; run the same again, and if it happens again, look for a "
                "proxy that cuts files"
            ) from error


@contextmanager
def transport_errors() -> Iterator[None]:
    """Turns exceptions of the hub's HTTP library, which depends on its version, into ConnectionError."""
    try:
        yield
    except Exception as error:
        if isinstance(error, ConnectionError) or not is_unreachable(error):
            raise
        raise ConnectionError(str(error).strip() or type(error).__name__) from error


def is_unreachable(error: Exception) -> bool:
    """Whether the error is of the network, not an answer of the hub."""
    return isinstance(error, ConnectionError) or type(error).__module__.partition(".")[0] in HTTP_LIBRARIES


def cached(source: Source, name: str, commit: str) -> Path | None:
    """A file in the hub's cache, without a query to the hub."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(source.name, name, revision=commit)
    return Path(found) if isinstance(found, str) else None


def gigabytes(size: int) -> str:
    """A size for people, as the hub and disks count it: 413.4 MB, 13.48 GB."""
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
