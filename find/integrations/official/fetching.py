"""`FIND.from_pretrained("official/find-focalt-llama")`: the authors' checkpoint, fetched and converted once.

Checks that need no network come first, and the hub's refusals before any large download.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from find.errors import CheckpointError, FindError, shown, warn_caller
from find.foundations.llama import count_weights, read_config
from find.foundations.source import DEFAULT_REVISION, Source
from find.integrations.official.convert import LLAMA_FILES, check_new, convert, has_no_weights
from find.integrations.official.releases import LLAMA, RELEASES, Release
from find.integrations.official.remote_file import (
    RemoteFile,
    cached,
    gigabytes,
    is_unreachable,
    transport_errors,
)
from find.model.location import CONFIG, WEIGHTS
from find.utils.digests import sha256

OWNER = "official"
VARIABLE = "FIND_LLAMA"
"""Names LLaMA-7B where no argument does: a folder, or a name of the hub."""
INSTEAD = f"; or name a LLaMA-7B that you have, a folder or a name of the hub, by llama=... in Python or {VARIABLE}=..."


def free_space(folder: Path) -> int:
    """Free bytes where a folder is, or will be."""
    return shutil.disk_usage(existing(folder)).free


def fetch_published(
    name: str,
    *,
    revision: str | None = None,
    llama: str | None = None,
    out: Path | None = None,
    free_space: Callable[[Path], int] = free_space,
) -> Path:
    """The folder of a published model, downloaded and converted if necessary.

    Args:
        name: what follows "official/".
        revision: of the authors' repository, if not the tested one.
        llama: a folder with LLaMA-7B, or its name on the hub; None: what FIND_LLAMA names, or else what an earlier
            conversion has taken, or else the one that the authors name.
        out: a new folder to write; None: one in the hub's cache, where later calls find it.
        free_space: returns the number of free bytes at a folder.

    Raises:
        FindError: there is no such model; or the hub, LLaMA's licence or the disk prevents it. The message says what to
            do.
    """
    from huggingface_hub.utils import WeakFileLock

    release = find_release(name, revision)
    llama = llama or os.environ.get(VARIABLE)
    if out is not None:
        check_new(out)
    elif llama is None and (before := next(conversions(name, release), None)) is not None:
        return before
    spec = f"{OWNER}/{name}"
    language = find_llama(llama or LLAMA)
    folder = conversion_folder(name, release, language) if out is None else out
    if out is None and is_model(folder):
        return folder
    plan = Plan.make(spec, release, language)
    plan.tell(folder)
    plan.check_disk(folder, free_space)
    checkpoint = plan.fetch()
    with WeakFileLock(conversions_folder(name) / ".lock"):
        if out is not None or not is_model(folder):  # which another process may have converted meanwhile
            print(f"{spec}: converting; LLaMA reads COCO's classes, which takes minutes", file=sys.stderr, flush=True)
            convert(checkpoint, folder, llama=plan.language.pinned(), unwritten=release.unwritten)
    return folder


def default_llama() -> str:
    """What FIND_LLAMA names, else the one that the authors name."""
    return os.environ.get(VARIABLE) or LLAMA


def find_release(name: str, revision: str | None) -> Release:
    """For other revisions than the tested one, size and digest are unknown."""
    if name not in RELEASES:
        names = ", ".join(f"{OWNER}/{known}" for known in RELEASES)
        raise CheckpointError(f"there is no published model {shown(f'{OWNER}/{name}')}; there are {names}")
    release = RELEASES[name]
    return release if revision in (None, release.revision) else replace(release, revision=revision, sha256="")


def find_llama(llama: str) -> Source:
    """Raises FindError for a missing folder, or one without weights, since the authors' files have none either."""
    source = Source.parse(llama, spec=f"llama:{llama}")
    if source.is_folder and has_no_weights(source.name):
        raise CheckpointError(
            f"{llama} has no weights (*.safetensors or pytorch_model*.bin), and neither has the published checkpoint; "
            "give a whole LLaMA-7B"
        )
    return source


def conversions_folder(name: str) -> Path:
    """Folder of converted models, in the part of the hub's cache that is reserved for other libraries' files."""
    from huggingface_hub import cached_assets_path

    try:
        return cached_assets_path("findvl", namespace=OWNER, subfolder=name)
    except OSError as error:
        raise CheckpointError(
            f"the hub's cache cannot be written: {error}; let HF_HOME name a folder of yours"
        ) from error


def conversion_folder(name: str, release: Release, language: Source) -> Path:
    """Of one revision and one LLaMA."""
    llama = os.path.abspath(language.name) if language.is_folder else f"{language.name}@{language.revision or ''}"
    return conversions_folder(name) / f"{revision_part(release)}--{llama.strip('/@').replace('/', '--')[-150:]}"


def revision_part(release: Release) -> str:
    """Prefix of the names of a revision's conversions."""
    return release.revision[:12].replace("/", "-")


def conversions(name: str, release: Release) -> Iterator[Path]:
    """Conversions of a release whose LLaMA still exists: with the authors' LLaMA first, then the newest."""
    usual = conversion_folder(name, release, Source(LLAMA, None, LLAMA))
    others = conversions_folder(name).glob(f"{revision_part(release)}--*")
    newest = sorted((folder for folder in others if is_model(folder)), key=lambda folder: -folder.stat().st_mtime)
    for folder in sorted(newest, key=lambda folder: folder != usual):
        if llama_is_there(folder):
            yield folder


def llama_is_there(folder: Path) -> bool:
    """Whether the LLaMA of a conversion still exists, if it was a folder."""
    spec = json.loads((folder / CONFIG).read_text(encoding="utf-8"))["language"]
    language = spec.removeprefix("llama:").rpartition("#")[0]
    return not os.path.isabs(language) or os.path.isdir(language)


def is_model(folder: Path) -> bool:
    return (folder / CONFIG).is_file() and (folder / WEIGHTS).is_file()


@dataclass(frozen=True)
class Plan:
    """What to download for a model, from where, and its size."""

    spec: str
    release: Release
    checkpoint: RemoteFile | Path
    language: Source
    llama_files: tuple[RemoteFile, ...]
    llama_weights: int  # numbers that are read

    @classmethod
    def make(cls, spec: str, release: Release, language: Source) -> Plan:
        """Queries the hub for sizes and downloads LLaMA's config, to check that this user has access."""
        source = Source(release.repository, release.revision, spec)
        checkpoint = cached_checkpoint(source, release) or RemoteFile.find(source, release.file)
        try:
            files = () if language.is_folder else llama_files(language)
            language = files[0].source if files else language  # at the commit that the hub reported
            config = read_config(language.pinned())
        except FindError as error:
            raise CheckpointError(f"{spec}: {error}{INSTEAD}") from error
        width, blocks = config.hidden_size, config.num_hidden_layers
        if (width, blocks) != (release.llama_width, release.llama_blocks):
            raise CheckpointError(
                f"{spec} was trained with a LLaMA of {release.llama_blocks} blocks of width {release.llama_width} "
                f"(LLaMA-7B); {language.name} has {blocks} of width {width}{INSTEAD}"
            )
        if config.rms_norm_eps != release.llama_epsilon:
            warn_caller(
                f"{language.name} adds {config.rms_norm_eps:g} in its norms, LLaMA-7B {release.llama_epsilon:g}: it "
                f"looks like another model of the same size (Llama 2?), with which {spec} was not trained"
            )
        return cls(spec, release, checkpoint, language, files, count_weights(config, release.unwritten.block(blocks)))

    @property
    def missing(self) -> int:
        """Bytes of the authors' file that are still to be fetched."""
        return self.checkpoint.missing if isinstance(self.checkpoint, RemoteFile) else 0

    @property
    def llama_missing(self) -> int:
        return sum(file.missing for file in self.llama_files)

    @property
    def size(self) -> int:
        """Of the authors' file, and so of what it is converted to."""
        return self.checkpoint.size if isinstance(self.checkpoint, RemoteFile) else self.checkpoint.stat().st_size

    def tell(self, out: Path) -> None:
        """Prints what will be fetched, kept and held in memory."""
        lines = [f"{self.spec} is fetched and converted once:"]
        page = f"https://huggingface.co/{self.release.repository}"
        lines.append(f"  download   {gigabytes(self.missing):>9}  {page} ({self.release.licence})")
        if not self.language.is_folder:
            page = f"https://huggingface.co/{self.language.name}"
            lines.append(f"  download   {gigabytes(self.llama_missing):>9}  {page} (its licence: see there)")
        lines.append(f"  converted  {gigabytes(self.size):>9}  {out}")
        in_float32, in_float16 = (gigabytes(self.llama_weights * size) for size in (4, 2))
        lines.append(f"  memory     {in_float32:>9}  for LLaMA on a CPU (float32), {in_float16} on a GPU (float16)")
        print("\n".join(lines), file=sys.stderr, flush=True)

    def check_disk(self, out: Path, free_space: Callable[[Path], int]) -> None:
        """Raises FindError if a disk has too little free space."""
        needs: Counter[Path] = Counter({out: self.size})
        for file in (self.checkpoint, *self.llama_files):
            if isinstance(file, RemoteFile):
                needs[file.blobs] += file.missing
        disks: dict[int, list[Path]] = {}
        for folder in needs:
            disks.setdefault(existing(folder).stat().st_dev, []).append(folder)
        for folders in disks.values():
            need, free = sum(needs[folder] for folder in folders), free_space(folders[0])
            if need > free:
                raise CheckpointError(
                    f"{self.spec}: {gigabytes(need)} are needed on the disk of {existing(folders[0])}, where "
                    f"{gigabytes(free)} are free; free some, or let HF_HOME name a folder on another disk"
                )

    def fetch(self) -> Path:
        """Downloads what is missing; returns the authors' file, whose digest is checked."""
        for file in self.llama_files:
            file.fetch()
        checkpoint = self.checkpoint.fetch() if isinstance(self.checkpoint, RemoteFile) else self.checkpoint
        if self.release.sha256 and sha256(checkpoint) != self.release.sha256:
            raise CheckpointError(
                f"{self.spec}: {checkpoint.resolve()} is damaged or not what the authors published (its SHA-256 is "
                "another); delete it and run the same again"
            )
        return checkpoint


def cached_checkpoint(source: Source, release: Release) -> Path | None:
    """The authors' file in the hub's cache, also where `hf download` has put it under the newest revision."""
    for revision in (release.revision, DEFAULT_REVISION):
        file = cached(source, release.file, revision)
        if file is not None and (revision == release.revision or sha256(file) == release.sha256):
            return file
    return None


def llama_files(source: Source) -> tuple[RemoteFile, ...]:
    """The files that transformers reads of a LLaMA on the hub; none if it is cached and the hub does not answer.

    Downloads its config, to check that this user has access.
    """
    from huggingface_hub import HfApi, hf_hub_download

    with source.reading("LLaMA"), transport_errors():
        try:
            hf_hub_download(source.name, CONFIG, revision=source.revision)
            about = HfApi().model_info(source.name, revision=source.revision)
        except Exception as error:
            if not is_unreachable(error) or cached(source, CONFIG, source.revision or DEFAULT_REVISION) is None:
                raise
            return ()
    names = [file.rfilename for file in about.siblings or ()]
    safe = [name for name in names if name.endswith((".safetensors", ".safetensors.index.json")) and "/" not in name]
    weights = safe or [name for name in names if name.startswith("pytorch_model") and "/" not in name]
    if not weights:
        raise CheckpointError(f"https://huggingface.co/{source.name} holds no weights in Hugging Face's format")
    pinned = replace(source, revision=about.sha)
    return tuple(RemoteFile.find(pinned, name) for name in (*LLAMA_FILES, *weights) if name in names)


def existing(folder: Path) -> Path:
    """A folder, or its nearest existing parent."""
    return next(place for place in (folder, *folder.absolute().parents) if place.is_dir())
