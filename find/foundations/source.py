"""Where a foundation's weights come from: a folder, or a repository of the Hugging Face hub at some revision.

The hub's library is imported only when the hub is used, so shipped models and local folders start without it.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from find.errors import CheckpointError, FindError, shown
from find.utils.folders import existing_folder

COMMIT = re.compile(r"[0-9a-f]{40}")
DEFAULT_REVISION = "main"

SHIPPED_ARCHITECTURES = (
    "; random:timm:NAME and random:open_clip:NAME need no file, their libraries know the architectures"
)


@dataclass(frozen=True)
class Source:
    """What stands after the library in a spec, `NAME@REVISION`.

    Attributes:
        name: a folder, or `owner/repository`.
        revision: branch, tag or commit; None is the newest.
        spec: the whole spec, for messages.
    """

    name: str
    revision: str | None
    spec: str

    @classmethod
    def parse(cls, text: str, *, spec: str) -> Source:
        """Raises `FindError` for a path that is not a folder, and for an invalid repository name."""
        folder = existing_folder(text)
        if folder is not None:
            return cls(str(folder), None, spec)
        name, at, revision = text.partition("@")
        if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name) or name.startswith(".") or (at and not revision):
            raise CheckpointError(
                f"{spec}: there is no folder {shown(text)}, and it is not a name on the Hugging Face hub; give a "
                "folder with config.json and weights, or owner/name, or owner/name@revision"
            )
        return cls(name, revision or None, spec)

    @property
    def is_folder(self) -> bool:
        return Path(self.name).is_dir()

    def commit(self) -> str | None:
        """The commit that was fetched last, by the hub's cache; None for a folder.

        If nothing was fetched, the requested revision.
        """
        if self.is_folder:
            return None
        revision = self.revision or DEFAULT_REVISION
        if COMMIT.fullmatch(revision):
            return revision
        from huggingface_hub.constants import HF_HUB_CACHE
        from huggingface_hub.file_download import repo_folder_name

        folder = Path(HF_HUB_CACHE) / repo_folder_name(repo_id=self.name, repo_type="model")
        note = folder / "refs" / revision
        return note.read_text(encoding="utf-8").strip() if note.is_file() else self.revision

    def pinned(self) -> str:
        """`NAME@COMMIT`, which fixes the weights; a folder's name is unchanged."""
        commit = self.commit()
        return f"{self.name}@{commit}" if commit else self.name

    def options(self, *, untrained: bool) -> dict[str, bool]:
        """Arguments for transformers' `from_pretrained` of a config or tokenizer.

        An untrained model needs nothing else of the hub. If the hub does not answer, only the local cache is tried:
        the library would retry for most of a minute.
        """
        return {"local_files_only": True} if untrained and not self.is_folder and not hub_answers() else {}

    def fetch(self, what: str, *patterns: str, needs: Iterable[str] = (), **options: Any) -> Path:
        """The local cache folder of a repository, with the files of these patterns (none: all).

        Args:
            what: is fetched, for messages.
            needs: files that must be in it.
            options: of `huggingface_hub.snapshot_download`.
        """
        from huggingface_hub import snapshot_download

        with self.reading(what):
            folder = snapshot_download(
                self.name, revision=self.revision, allow_patterns=list(patterns) or None, **options
            )
        for name in needs:
            if not (Path(folder) / name).is_file():
                page = f"https://huggingface.co/{self.name}/tree/{self.revision or DEFAULT_REVISION}"
                raise CheckpointError(f"{self.spec}: there is no {name} in {page}, so it does not hold {what}")
        return Path(folder)

    @contextmanager
    def reading(self, what: str) -> Iterator[None]:
        """Turns libraries' exceptions while reading `what` into one `FindError` that says what to do."""
        try:
            yield
        except FindError:
            raise
        except (OSError, ValueError, RuntimeError, KeyError) as error:  # the hub's own errors are among them
            raise CheckpointError(f"{self.spec}: {what} cannot be read: {self._advice(error)}") from error

    def _advice(self, error: BaseException) -> str:
        if self.is_folder:
            return f"{first_line(error)}; the folder {self.name} must hold a whole model, fetch or save it again"
        from huggingface_hub.errors import (
            EntryNotFoundError,
            GatedRepoError,
            LocalEntryNotFoundError,
            OfflineModeIsEnabled,
            RepositoryNotFoundError,
            RevisionNotFoundError,
        )

        causes = [error]
        while (before := causes[-1].__cause__ or causes[-1].__context__) is not None and before not in causes:
            causes.append(before)
        page = f"https://huggingface.co/{self.name}"
        if any(isinstance(cause, GatedRepoError) for cause in causes):
            return f"{self.name} is gated: accept its licence at {page}, then `hf auth login` here (or set HF_TOKEN)"
        if any(isinstance(cause, RevisionNotFoundError) for cause in causes):
            return f"{self.name} has no revision {self.revision!r}: see {page}/commits/main"
        # The hub's own answer, if it was reached, explains a missing entry of the local cache.
        if any(isinstance(c, (LocalEntryNotFoundError, OfflineModeIsEnabled, ConnectionError)) for c in causes) or any(
            type(cause).__module__.startswith("http") and "Connect" in type(cause).__name__ for cause in causes
        ):
            message = (
                f"the hub cannot be reached and {self.name} is not in the local cache: run `hf download {self.name}` "
                "where there is a network, or give the path of a folder that holds the model"
            )
            return message + SHIPPED_ARCHITECTURES * self.spec.startswith("random:")
        if any(isinstance(cause, RepositoryNotFoundError) for cause in causes):
            return f"there is no {page} that you may see: check the name, or `hf auth login` if it is private"
        if any(isinstance(cause, EntryNotFoundError) for cause in causes) or self._lacks("config.json"):
            return f"{self.name} has no such file; is it a model of this library? See {page}/tree/main"
        return first_line(error)

    def _lacks(self, file: str) -> bool:
        """Whether the hub's cache records that there is no such file; libraries may hide this."""
        from huggingface_hub import try_to_load_from_cache
        from huggingface_hub.errors import HFValidationError

        try:
            found = try_to_load_from_cache(self.name, file, revision=self.revision)
        except HFValidationError:  # no name of the hub
            return False
        return found is not None and not isinstance(found, str)


@cache
def hub_answers() -> bool:
    """Whether the hub can be reached, tested once; behind a proxy it is assumed."""
    from huggingface_hub.constants import ENDPOINT, HF_HUB_OFFLINE

    if HF_HUB_OFFLINE:
        return False
    address = urlsplit(ENDPOINT)
    if address.scheme in getproxies():
        return True
    try:
        with socket.create_connection((address.hostname, address.port or 443), timeout=3):
            return True
    except OSError:
        return False


def first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
