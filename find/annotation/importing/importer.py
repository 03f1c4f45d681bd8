"""Converts an annotation tool's export to a folder in COCO's layout with panoptic maps and FIND-Bench sentences."""

from __future__ import annotations

import shlex
import shutil
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from find.annotation.build import build, issue_lines
from find.annotation.importing.export import SPLITS, TRAIN, VAL, Photo, warning
from find.annotation.importing.files import Files, unpacked
from find.annotation.importing.formats import AUTO, recognised
from find.annotation.importing.splits import with_splits
from find.annotation.importing.writer import Boxes, Imported, Pictures, Writer, counted
from find.data.dataset_issue import Report
from find.data.plurals import article
from find.errors import DataError, FindError, InputError
from find.foundations.base import VisionEncoder
from find.images.images import read_size, read_thumbnail
from find.utils.progress import track


def import_export(
    export: str | Path,
    out: str | Path,
    *,
    kind: str = AUTO,
    val_fraction: float = 0.2,
    seed: int = 0,
    boxes: Boxes = "leave-out",
    pictures: Pictures = "link",
    encoder: VisionEncoder | None = None,
    progress: bool = True,
) -> Imported:
    """Writes `out` from an export; on failure, `out` is not created.

    Args:
        export: the folder or zip from the tool.
        kind: a format's name (`FORMATS`), or "auto".
        val_fraction, seed: how train and val are drawn if the export does not have both (`with_splits`).
        boxes: treatment of objects with a box but no mask: omitted, or masks of the whole box.
        pictures: link to the export's pictures, or copy them; pictures from a zip are moved.
        encoder: the vision encoder whose features choose the references; without one there are none.

    Raises:
        FindError: the export cannot be used, or `out` is not empty.
    """
    export, out = Path(export), Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: this already exists and is not an empty folder. Remove it, or give another folder.")
    part = out.with_name(f"{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)  # left by a killed run
    scratch = part / "unpacked"
    with ExitStack() as undo:
        undo.callback(shutil.rmtree, part, ignore_errors=True)
        scratch.mkdir(parents=True)
        root = unpacked(export, scratch)
        if (root / "annotations").is_dir() and any((root / "annotations").glob("panoptic_*.json")):
            raise DataError(f"{export} is in FIND's layout already: findvl data check {export}")
        form, taken_for, files = recognised(Files(root, scratch / "pictures"), kind)
        result = Imported(export, out, taken_for)
        found = form.read(files, result.issues.append)
        result.lines += found.notes
        usable = _usable(found.photos, result.issues.append)
        if not usable:
            raise DataError("; ".join([f"{export}, {taken_for}: no picture can be used", *issue_lines(result.issues)]))
        photos, words = with_splits(usable, val_fraction, seed)
        result.lines.append(words)
        writer = Writer(part, found, boxes, pictures, scratch, result)
        for photo in track(photos, "drawing objects", shown=progress):
            writer.add(photo, photo.size)
        writer.write()
        shutil.rmtree(scratch)
        _add_sentences(part, encoder, result, progress=progress)
        if out.exists():
            out.rmdir()
        part.rename(out)
        undo.pop_all()
    if pictures == "link" and root is export:
        result.lines.append(f"pictures are links to {export}: keep it, or import with --copy")
    return result


def _add_sentences(part: Path, encoder: VisionEncoder | None, result: Imported, *, progress: bool) -> None:
    """Panoptic maps and sentences of all splits."""
    built_splits = []
    for split in SPLITS:
        if result.pictures[split]:
            references = encoder if result.objects[split] else None
            with warnings.catch_warnings(record=True) as warned:
                warnings.simplefilter("always")
                built = build(part, split=split, encoder=references, progress=progress)
            for one in warned:
                if str(part) in (text := str(one.message)):
                    result.lines.append(text.replace(str(part), str(result.out)))
                else:
                    warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
            phrases, references = counted(built.phrases, "phrase"), counted(built.references, "reference")
            built_splits.append(f"{split} {built.sentences:,} with {phrases} and {references}")
            result.lines += (f"{split}: {line}" for line in built.notes)
    result.lines.insert(1, f"sentences by templates, as the export has no captions: {'; '.join(built_splits)}")


def next_commands(result: Imported) -> list[str]:
    """The commands to run after an import; every line can be pasted into a shell."""
    out = shlex.quote(str(result.out))
    run = f"outputs/{result.out.name}"
    model, album = shlex.quote(f"{run}/model"), shlex.quote(f"outputs/{result.out.name}.album")
    word = next(iter(result.categories), "object").replace("_", " ").replace("-", " ")
    small = f" --data.batch_size {result.pictures[TRAIN]}" if result.pictures[TRAIN] < 8 else ""
    return [
        f"findvl data check {out}",
        f"findvl data look {out} --png {shlex.quote(f'{run}/look.png')}",
        f"findvl fit -c own --data.root {out} --trainer.default_root_dir {shlex.quote(run)}{small}",
        f"findvl test -c own --data.root {out} --weights {model} --out {shlex.quote(f'{run}/metrics.json')}",
        f"findvl index {shlex.quote(str(result.out / VAL))} {album} --weights {model}",
        f"findvl search {album} --weights {model} --query {shlex.quote('{' + article(word) + '}')}",
    ]


def _usable(photos: Sequence[Photo], report: Report) -> list[Photo]:
    """The photos that can be read and have the annotated size, with their sizes."""
    found = []
    for photo in photos:
        try:
            size = read_size(photo.path)
            read_thumbnail(photo.path, (1, 1))  # a truncated file has a good header
        except FindError as error:
            fix = "Replace it by a valid picture"
            report(warning("picture cannot be read", photo.path.name, "the picture", str(error), fix))
            continue
        if photo.size is not None and photo.size != size:
            said, own = (f"{width} x {height}" for height, width in (photo.size, size))
            turned = ", after its EXIF rotation" if photo.size == size[::-1] else ""
            report(
                warning("picture of another size", photo.file, photo.path.name,
                        f"it was annotated as {said} but is {own}{turned}, so it is left out",
                        "Provide the picture that was annotated")
            )  # fmt: skip
            continue
        found.append(replace(photo, size=size))
    return found
