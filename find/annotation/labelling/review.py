"""Review of a COCO instances JSON by a person: every decision is written to the file immediately.

An annotation gets `review`: "kept", "corrected" or "added"; `found` has the original mask or class. Dropped
annotations move from `annotations` to `dropped`, which readers ignore. An image gets `reviewed` when nothing in it is
undecided. Ids and all other fields are unchanged.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
from jaxtyping import Bool
from pycocotools import mask as rle

from find.annotation.importing.files import Files
from find.annotation.importing.shapes import run_lengths
from find.data.dataset_issue import DatasetIssue
from find.data.outlines import NoMask, draw
from find.data.records import read_document, read_json
from find.data.schema import InstanceDocument
from find.errors import DataError, InputError
from find.utils.files import write_atomically

Decision = Literal["undecided", "kept", "dropped"]
STATES = ("undecided", "kept", "corrected", "added", "dropped")
SHAPE = ("segmentation", "area", "bbox")


@dataclass(frozen=True)
class ReviewedPhoto:
    """A photograph of the file.

    Attributes:
        path: where it lies.
        size: height and width.
    """

    id: int
    name: str
    path: Path
    size: tuple[int, int]


class Review:
    """Decisions on the objects of an annotation file; may be called by several threads.

    Args:
        file: COCO's instances JSON, of `findvl label` or any tool.
        photos: the folder of its pictures.
        out: where the corrected file is written; the file itself if not given.

    Raises:
        FindError: the file cannot be used, or none of its pictures is there; `out` exists.
    """

    def __init__(self, file: str | Path, photos: str | Path, out: str | Path | None = None) -> None:
        self.file = Path(file)
        self.out = self.file if out is None else Path(out)
        if self.out != self.file and self.out.exists():
            raise InputError(f"{self.out}: this already exists; review that file, or give another name")
        if not Path(photos).is_dir():
            raise InputError(f"{photos}: there is no such folder of photos")
        self.folder = Path(photos)
        self._content = _read(self.file)
        self._lock = threading.Lock()
        self._stamp = _stamp(self.out)
        images = self._content["images"]
        folder = Files(self.folder, self.folder)
        place = folder.find([image["file_name"] for image in images])
        self.missing = [image["file_name"] for image in images if image["file_name"] not in place]
        self.photos = {
            image["id"]: ReviewedPhoto(
                image["id"],
                image["file_name"],
                folder[place[image["file_name"]]],
                (int(image["height"]), int(image["width"])),
            )
            for image in images
            if image["file_name"] in place
        }
        if not self.photos:
            raise DataError(f"{self.file}: none of its {len(images)} pictures is in {photos}. Give their folder.")
        self._images = {image["id"]: image for image in images}
        self._objects = {one["id"]: one for one in [*self._content["annotations"], *self._content["dropped"]]}
        self._earlier: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)

    @property
    def categories(self) -> dict[int, str]:
        return {one["id"]: one["name"] for one in self._content["categories"]}

    def counts(self) -> Counter[str]:
        """Numbers of objects by decision."""
        return Counter(state(one) for one in self._objects.values() if one["image_id"] in self.photos)

    def is_reviewed(self, photo: int) -> bool:
        return bool(self._images[photo].get("reviewed"))

    def objects(self, photo: int) -> list[dict[str, Any]]:
        """The objects of a photograph as the file has them, dropped ones too, in the order of their ids.

        Masks are compressed run-length codes; an object without a mask has None.
        """
        size = self._photo(photo).size
        own = sorted((one for one in self._objects.values() if one["image_id"] == photo), key=lambda one: one["id"])
        return [one | {"segmentation": self._code(one, size)} for one in own]

    def version(self, number: int) -> int:
        """How often an object has been changed in this review, as `restore` takes it."""
        return len(self._earlier[number])

    def restore(self, number: int, version: int) -> None:
        """An object is again as it was at a version; a class that it was given since then stays."""
        with self._lock:
            one, earlier = self._object(number), self._earlier[number]
            if not 0 <= version <= len(earlier):
                raise InputError(f"object {number} has no version {version}")
            if version == len(earlier):
                return
            before = earlier[version]
            del earlier[version:]
            category = one["category_id"]
            self._place(one, state(before))
            one.clear()
            one.update(before)
            if category != before["category_id"]:
                self._give_class(one, category)
            self._save(one["image_id"])

    def decide(self, number: int, decision: Decision) -> None:
        """An object is kept, dropped, or undecided again and as it was found."""
        with self._lock:
            one = self._object(number)
            self._earlier[number].append(dict(one))
            if decision == "undecided" and isinstance(one.get("found"), dict):
                one.update(one.pop("found"))
            is_corrected = decision == "kept" and state(one) in ("corrected", "added")
            self._place(one, state(one) if is_corrected else decision)
            self._save(one["image_id"])

    def correct(self, number: int, mask: Bool[np.ndarray, "h w"]) -> None:
        """Another mask for an object."""
        with self._lock:
            one = self._object(number)
            shape = _shape(mask, self._photo(one["image_id"]).size)
            self._earlier[number].append(dict(one))
            is_new = state(one) == "added"
            if not is_new:
                _keep_found(one, *SHAPE)
            one.update(shape)
            self._place(one, "added" if is_new else "corrected")
            self._save(one["image_id"])

    def rename(self, number: int, category: int) -> None:
        """Another class for an object, which is kept by that."""
        with self._lock:
            one = self._object(number)
            self._check_category(category)
            self._earlier[number].append(dict(one))
            self._give_class(one, category)
            self._save(one["image_id"])

    def add(self, photo: int, category: int, mask: Bool[np.ndarray, "h w"]) -> int:
        """An object that was not found; returns its id."""
        with self._lock:
            self._check_category(category)
            shape = _shape(mask, self._photo(photo).size)
            number = max(self._objects, default=0) + 1
            one = {"id": number, "image_id": photo, "category_id": category, **shape, "iscrowd": 0, "review": "added"}
            self._objects[number] = one
            self._content["annotations"].append(one)
            self._save(photo)
            return number

    def finish(self, photo: int) -> None:
        """Keeps all undecided objects of a photo; also marks photos without objects as reviewed."""
        with self._lock:
            self._photo(photo)
            for one in self._objects.values():
                if one["image_id"] == photo and state(one) == "undecided":
                    self._earlier[one["id"]].append(dict(one))
                    one["review"] = "kept"
            self._images[photo]["reviewed"] = True
            self._save(photo)

    def _code(self, one: Mapping[str, Any], size: tuple[int, int]) -> dict[str, Any] | None:
        try:
            return draw(one.get("segmentation"), size).code
        except NoMask:
            return None
        except ValueError as problem:
            raise DataError(f"{self.file}: the mask of object {one['id']} cannot be drawn: {problem}") from problem

    def _give_class(self, one: dict[str, Any], category: int) -> None:
        if state(one) != "added":
            _keep_found(one, "category_id")
        one["category_id"] = category
        self._place(one, "kept" if state(one) in ("undecided", "dropped") else state(one))

    def _place(self, one: dict[str, Any], decision: str) -> None:
        """Records a decision, and moves the object to or from the dropped ones."""
        if decision != "undecided":
            one["review"] = decision
        elif one.get("review") in STATES:  # another tool's value stays
            del one["review"]
        lists = self._content["annotations"], self._content["dropped"]
        source, target = lists if decision == "dropped" else lists[::-1]
        place = next((place for place, other in enumerate(source) if other is one), None)
        if place is not None:
            del source[place]
            target.append(one)
            target.sort(key=lambda other: other["id"])

    def _save(self, photo: int) -> None:
        own = [one for one in self._objects.values() if one["image_id"] == photo]
        if any(state(one) == "undecided" for one in own):
            self._images[photo].pop("reviewed", None)
        elif own:
            self._images[photo]["reviewed"] = True
        if _stamp(self.out) != self._stamp:
            raise DataError(f"{self.out}: another program has changed it meanwhile. Start the review again.")
        done = sum(map(self.is_reviewed, self.photos))
        info = self._content["info"] if isinstance(self._content.get("info"), dict) else {}
        self._content["info"] = info | {"review": {"photos": len(self.photos), "reviewed": done, **self.counts()}}
        write_atomically(self.out, msgspec.json.encode(self._content) + b"\n")
        self._stamp = _stamp(self.out)

    def _photo(self, photo: int) -> ReviewedPhoto:
        if photo not in self.photos:
            raise InputError(f"there is no photo {photo} in {self.file.name}")
        return self.photos[photo]

    def _object(self, number: int) -> dict[str, Any]:
        if number not in self._objects:
            raise InputError(f"there is no object {number} in {self.file.name}")
        return self._objects[number]

    def _check_category(self, category: int) -> None:
        if category not in self.categories:
            raise InputError(f"there is no class {category} in {self.file.name}")


def state(one: Mapping[str, Any]) -> str:
    """The decision on an annotation; values that other tools write in that field are not decisions."""
    review = one.get("review")
    return review if review in STATES else "undecided"


def _keep_found(one: dict[str, Any], *names: str) -> None:
    """Keeps what was found in `found`, unless it has them already."""
    found = one.get("found")
    one["found"] = {name: one.get(name) for name in names} | (found if isinstance(found, dict) else {})


def _read(file: Path) -> dict[str, Any]:
    """All of the file, of which every record can be used."""
    issues: list[DatasetIssue] = []
    read_document(file, InstanceDocument, issues.append)
    if issues:
        raise DataError(f"{file}: {issues[0].item}: {issues[0].message}. {issues[0].fix}, then review it.")
    content = read_json(file, "images", "annotations", "categories")
    dropped = content.setdefault("dropped", [])
    if not isinstance(dropped, list) or not all(isinstance(one, dict) and "image_id" in one for one in dropped):
        raise DataError(f'{file}: "dropped" is not a list of objects. Delete it.')
    objects = [*content["annotations"], *content["dropped"]]
    for name, records in (("image", content["images"]), ("annotation", objects)):
        ids = [one.get("id") for one in records]
        if not all(type(id) is int for id in ids) or len(set(ids)) < len(ids):
            raise DataError(f"{file}: two {name}s have one id, or one has none. Give each a number of its own.")
    return content


def _stamp(file: Path) -> tuple[int, int] | None:
    """Identifies the version of a file that was written; None if there is no file."""
    try:
        status = file.stat()
    except FileNotFoundError:
        return None
    return status.st_mtime_ns, status.st_size


def _shape(mask: Bool[np.ndarray, "h w"], size: tuple[int, int]) -> dict[str, Any]:
    if mask.shape != size:
        raise InputError(
            f"the photo is {mask.shape[1]} x {mask.shape[0]} and was annotated as {size[1]} x {size[0]}; put the one "
            "there that was annotated"
        )
    if not mask.any():
        raise InputError("nothing is found there; click in the middle of the object, or drag a box around it")
    code = run_lengths(mask)
    values: Sequence[float] = rle.toBbox(code).tolist()
    return {"segmentation": code, "area": int(mask.sum()), "bbox": list(values)}
