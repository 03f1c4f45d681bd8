"""What the authors of FIND have published on the Hugging Face hub: names, files, sizes, digests and licences.

The repository is the one that https://github.com/UX-Decoder/FIND links to.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from find.integrations.official.published import Unwritten

REPOSITORY = "xueyanz/FIND"
PAGE = f"https://huggingface.co/{REPOSITORY}"
LLAMA = "huggyllama/llama-7b"
"""The LLaMA-7B that the authors' configs name (`MODEL.TEXT.NAME`)."""


@dataclass(frozen=True)
class Release:
    """A published checkpoint, without LLaMA's weights.

    Attributes:
        file: its name in the repository.
        size: of the file, in bytes.
        sha256: of the file.
        licence: of the repository.
        llama_width: of the LLaMA that it was trained with.
        llama_blocks, llama_epsilon: its number of blocks, and the epsilon of its norms, which differs from Llama 2's.
        unwritten: settings that the file does not determine.
    """

    file: str
    size: int
    sha256: str
    repository: str = REPOSITORY
    revision: str = "b70f9a9248d0f39e39255043ccc2bc1ca10d1d35"
    licence: str = "Apache-2.0"
    llama_width: int = 4096
    llama_blocks: int = 32
    llama_epsilon: float = 1e-6
    unwritten: Unwritten = field(default_factory=Unwritten)


RELEASES = {
    "find-focalt-llama": Release(
        file="find_focalt_llama_x640.pt",
        size=413_400_374,
        sha256="9110f749019bda79b044c1df6520f34bb1c438e879bb82563ef564cf435c5bf4",
    ),
    "find-focall-llama": Release(
        file="find_focall_llama_x640.pt",
        size=1_119_744_138,
        sha256="debb61927eb1fc5b5c67c013afb007c0b7d8c1315acff6040e5058b03acff5d2",
    ),
}
"""By the names that follow "official/"."""
