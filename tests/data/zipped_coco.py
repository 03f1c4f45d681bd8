"""The COCO sample as COCO is published: photographs in zips, panoptic PNGs in zips inside a zip, JSON in zips."""

import io
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

from find.data.prepare_release import AnnotationFile, Download, Release, SentenceFile, SplitRelease

SENTENCES = {
    "train2017": ("entity_train2017",),
    "val2017": ("entity_val2017", "entity_val2017_long", "interleave_val2017", "interleave_val2017_long"),
}
COUNTS = {"train2017": (114, 518, 1014), "val2017": (136, 650, 1091)}  # images, captions, instances


def zip_sample(sample: Path, root: Path, *, inner: int = zipfile.ZIP_STORED) -> Path:
    """Zips the sample's folder into `root`; `inner` says how the zips inside a zip are packed."""
    (root / "annotations").mkdir(parents=True)
    with zipfile.ZipFile(root / "annotations_trainval2017.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted((sample / "annotations").glob("[ci][an]*_*2017.json")):
            archive.write(file, f"annotations/{file.name}")
    with zipfile.ZipFile(root / "panoptic_annotations_trainval2017.zip", "w", inner) as archive:
        for split in ("train2017", "val2017"):
            archive.write(sample / "annotations" / f"panoptic_{split}.json", f"annotations/panoptic_{split}.json")
            archive.writestr(f"annotations/panoptic_{split}.zip", _zipped(sample / f"panoptic_{split}"))
            archive.writestr(f"__MACOSX/annotations/._panoptic_{split}.zip", b"what a Mac adds")
    for split, names in SENTENCES.items():
        (root / f"{split}.zip").write_bytes(_zipped(sample / split))
        for name in names:
            shutil.copy(sample / "annotations" / f"{name}.json", root / "annotations")
    return root


def _zipped(folder: Path) -> bytes:
    """With the folder as a member of its own and the hidden twins of files, as in COCO's zips."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(f"{folder.name}/", b"")
        for file in sorted(folder.iterdir()):
            archive.write(file, f"{folder.name}/{file.name}")
            archive.writestr(f"__MACOSX/{folder.name}/._{file.name}", b"")
    return data.getvalue()


def sample_release(root: Path) -> Release:
    """What `prepare` is to find in a whole zipped sample."""

    def download(name: str) -> Download:
        return Download(name, f"http://example.org/{name}", (root / name).stat().st_size)

    panoptic, annotations = download("panoptic_annotations_trainval2017.zip"), download("annotations_trainval2017.zip")
    splits = []
    for split, (images, captions, instances) in COUNTS.items():
        sentences = tuple(
            SentenceFile(
                f"{name}.json",
                replace(download(f"annotations/{name}.json"), size=None),
                f"{name.replace('entity', 'interleave')}.json" if split == "val2017" else None,
            )
            for name in SENTENCES[split]
            if name.startswith("entity")
        )
        files = (
            AnnotationFile(f"captions_{split}.json", captions, "captions", annotations),
            AnnotationFile(f"instances_{split}.json", instances, "instances", annotations),
        )
        listed = AnnotationFile(f"panoptic_{split}.json", images, "images", panoptic)
        splits.append(SplitRelease(split, images, download(f"{split}.zip"), panoptic, listed, files, sentences))
    return Release("the sample", tuple(splits))
