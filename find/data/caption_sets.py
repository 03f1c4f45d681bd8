"""Published caption sets with true and false captions of pictures: SugarCrepe, SugarCrepe++, VSR and What'sUp.

Nothing is downloaded: `prepare_captions` reports which files exist, where to get the others, and the licences.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from find.data.caption_records import CaptionChoice, read_sugarcrepe, read_sugarcrepe_pp, read_vsr, read_whatsup
from find.data.prepare_release import Download, Part, Preparation, State, gigabytes
from find.errors import DataError, InputError

SUGARCREPE = (
    "https://raw.githubusercontent.com/RAIVNLab/sugar-crepe/0047054b243992f0fad63d6f64f7544862daf846/data/{}.json"
)
SUGARCREPE_PP = "https://huggingface.co/datasets/Aman-J/SugarCrepe_pp/resolve/main/data/{}.json"
VSR = (
    "https://raw.githubusercontent.com/cambridgeltl/visual-spatial-reasoning/"
    "b27a0af0ee1462d2b6b92c8c83e869d9254a241a/data/splits/{}.jsonl"
)
WHATSUP = "https://drive.google.com/drive/folders/164q6X9hrvP-QYpi3ioSnfMuyHpG5oRkZ"
COCO_VAL = "COCO's val2017 pictures (http://images.cocodataset.org/zips/val2017.zip, unpacked)"


@dataclass(frozen=True)
class CaptionFile:
    """One file of a set: `kind` is the kind of difference that its captions test. The checksum is optional."""

    kind: str
    download: Download


@dataclass(frozen=True)
class CaptionSet:
    """A published set: its files and their reader, the source of its pictures, and its licence."""

    name: str
    title: str
    files: tuple[CaptionFile, ...]
    read: Callable[[Path, str], list[CaptionChoice]]
    pictures: str
    terms: str

    def choices(self, root: Path, kinds: Sequence[str] | None = None) -> list[CaptionChoice]:
        """The choices in the files below `root`, of all kinds or of some.

        Raises:
            InputError: there is no such kind.
            DataError: a file is missing or not as published.
        """
        known = {file.kind: file for file in self.files}
        for kind in kinds or ():
            if kind not in known:
                raise InputError(f"{self.title} has no kind {kind!r}; it has {', '.join(known)}")
        found: list[CaptionChoice] = []
        for file in (known[kind] for kind in kinds or known):
            path = root / file.download.name
            if not path.is_file():
                raise DataError(
                    f"{path} is missing; `findvl data prepare {self.name} {root}` says where to get {self.title}"
                )
            found += self.read(path, file.kind)
        return found


def _files(url: str, suffix: str, known: dict[str, tuple[int, str] | None]) -> tuple[CaptionFile, ...]:
    found = []
    for kind, about in known.items():
        size, digest = about or (None, None)
        name = kind.replace("/", "-") + suffix
        found.append(CaptionFile(kind, Download(name, url.format(kind), size, digest)))
    return tuple(found)


_SUGARCREPE = _files(SUGARCREPE, ".json", {
    "replace_obj": (361126, "9d299600639947e9d15281a9ded1382b376cf4ea088a8d08a1314bfe76e81898"),
    "replace_att": (176843, "9fe55fd4c0a9ad1f85d486d9f6d0215b41f867eb025026e7f7b5ce44352545ee"),
    "replace_rel": (312629, "356bcc2fc4c6aed3f4d9fd50acc58489bb1fe70c28791f9368d4cbf9ea39cdc9"),
    "swap_obj": (57569, "073cdb8e253d053614e80710834d9773b09dbc1dd0a412f6f9492262caa1dcad"),
    "swap_att": (154665, "7a7ce04e5c4c80412b48c6f0c1347fb1a2f5d54c0be6aa429b64d390e442f8d0"),
    "add_obj": (484593, "1b9d76b93139a937b8dc1ada92a4f05ecc821bb3c291d752428bafadd4bb0682"),
    "add_att": (158863, "012d88d729693d193760e6f3393b06a1cf874380a9db0062e937201199fe044d"),
})  # fmt: skip
_PLUS_PLUS = _files(
    SUGARCREPE_PP, ".json",
    dict.fromkeys(("replace_obj", "replace_att", "replace_rel", "swap_obj", "swap_att")),
)  # fmt: skip
_VSR = _files(VSR, ".jsonl", {
    "random/test": (674712, "8ade82a0b93ac9dc1e53f6cf1f11e9d5536776a3715102b6b4d27d4f81d551cc"),
    "zeroshot/test": (380380, "914d9156723b912d8f794b179248af865a68c5f81c9d8e3a21d007778cacaad4"),
})  # fmt: skip
_WHATSUP = tuple(
    CaptionFile(kind, Download(name, WHATSUP))
    for kind, name in (
        ("controlled A", "controlled_images_dataset.json"), ("controlled B", "controlled_clevr_dataset.json"),
        ("COCO, one object", "coco_qa_one_obj.json"), ("COCO, two objects", "coco_qa_two_obj.json"),
        ("GQA, one object", "vg_qa_one_obj.json"), ("GQA, two objects", "vg_qa_two_obj.json"),
    )
)  # fmt: skip

CAPTION_SETS: dict[str, CaptionSet] = {
    one.name: one
    for one in (
        CaptionSet(
            "sugarcrepe", "SugarCrepe", _SUGARCREPE, read_sugarcrepe, COCO_VAL,
            "captions: MIT (RAIVNLab/sugar-crepe); pictures and the captions that they come from: COCO's terms",
        ),
        CaptionSet(
            "sugarcrepe-pp", "SugarCrepe++", _PLUS_PLUS, read_sugarcrepe_pp, COCO_VAL,
            "captions: CC BY 4.0 (Aman-J/SugarCrepe_pp); pictures and the captions that they come from: COCO's terms",
        ),
        CaptionSet(
            "vsr", "VSR", _VSR, read_vsr,
            "COCO's train2017 and val2017 pictures (http://images.cocodataset.org/zips/train2017.zip and "
            "val2017.zip, unpacked)",
            "captions: Apache 2.0 (cambridgeltl/visual-spatial-reasoning); pictures: COCO's terms",
        ),
        CaptionSet(
            "whatsup", "What'sUp", _WHATSUP, read_whatsup,
            "controlled_images.tar.gz, controlled_clevr.tar.gz and vg_images.tar.gz of the same folder, and COCO's "
            "val2017 pictures, all unpacked",
            "captions and controlled pictures: MIT (amitakamath/whatsup_vlms); others: COCO's and GQA's terms",
        ),
    )
}  # fmt: skip
"""By the name on the command line."""


def prepare_captions(root: Path, release: CaptionSet) -> Preparation:
    """Reports which files of a set exist, and which must be downloaded from the publishers."""
    parts, fetch = [], []
    for file in release.files:
        part = _part(root, release, file)
        parts.append(part)
        if not part.is_usable and "drive.google.com" not in file.download.url:
            fetch.append(file.download)
    return Preparation(root, release.title, tuple(parts), tuple(fetch))


def _part(root: Path, release: CaptionSet, file: CaptionFile) -> Part:
    download = file.download
    path = root / download.name
    if not path.is_file():
        hint = f"; fetch it by hand from {download.url}" if "drive.google.com" in download.url else ""
        return Part(State.MISSING, download.name, f"nothing{hint}")
    try:
        count = len(release.read(path, file.kind))
    except DataError as problem:
        return Part(State.BROKEN, download.name, str(problem))
    size = gigabytes(path.stat().st_size)
    if download.sha256 is None:
        return Part(State.READY, download.name, f"{count} choices, {size}; not compared with a published checksum")
    if hashlib.sha256(path.read_bytes()).hexdigest() != download.sha256:
        return Part(State.BROKEN, download.name, f"{size}, another file than the published one; fetch it again")
    return Part(State.READY, download.name, f"{count} choices, {size}, as published")
