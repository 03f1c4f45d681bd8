"""The classes of a data set as detectron2 numbers them: from 0 on, things before stuff, each by its id in the data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from find.data.sample import Category
from find.errors import InputError
from find.foundations.detectron2 import detectron2_module


@dataclass(frozen=True)
class Classes:
    """The classes that a model predicts; labels of predictions are indices into them.

    Attributes:
        names: words for each, such as "sky" for sky-other-merged.
        is_thing: whether its segments can be counted.
        numbers: detectron2's `category_id` of each.
    """

    names: tuple[str, ...]
    is_thing: tuple[bool, ...]
    numbers: tuple[int, ...]

    @classmethod
    def of_folder(cls, categories: Sequence[Category]) -> Classes:
        """Those of a folder, in its own order, as `register` numbers them."""
        number_of = numbering(categories)
        return cls(
            names=tuple(category.words for category in categories),
            is_thing=tuple(category.is_thing for category in categories),
            numbers=tuple(number_of[category.id] for category in categories),
        )

    @classmethod
    def of_dataset(cls, name: str) -> Classes:
        """Those of a data set in detectron2's `MetadataCatalog`, registered by us or by anybody: things, then stuff.

        Raises:
            FindError: the catalog knows no classes of it.
        """
        catalog = detectron2_module("detectron2.data").MetadataCatalog
        things = stuff = []
        if name in catalog:  # accessing a missing name would create it
            metadata = catalog.get(name)
            things = _named(metadata, "thing")
            stuff = _named(metadata, "stuff", but=set(metadata.get("thing_dataset_id_to_contiguous_id", {})))
        if not things and not stuff:
            raise InputError(f"detectron2's MetadataCatalog knows no classes of {name!r}; register the data set first")
        return cls(
            names=tuple(_words(text) for _, text in things + stuff),
            is_thing=(True,) * len(things) + (False,) * len(stuff),
            numbers=tuple(number for number, _ in things + stuff),
        )


def numbering(categories: Sequence[Category]) -> dict[int, int]:
    """Category id -> detectron2's number."""
    return {category.id: number for number, category in enumerate(in_order(categories))}


def in_order(categories: Sequence[Category]) -> list[Category]:
    """Things by id, then stuff by id: `COCOEvaluator` assumes that thing classes are sorted like this."""
    return sorted(categories, key=lambda category: (not category.is_thing, category.id))


def metadata_of(categories: Sequence[Category]) -> dict[str, Any]:
    """Names, colours and id maps for `MetadataCatalog`; `stuff_classes` holds things too, so that one number serves."""
    ordered, number_of = in_order(categories), numbering(categories)
    things = [category for category in ordered if category.is_thing]
    return {
        "thing_classes": [category.name for category in things],
        "thing_colors": [list(category.color) for category in things],
        "thing_dataset_id_to_contiguous_id": {category.id: number_of[category.id] for category in things},
        "stuff_classes": [category.name for category in ordered],
        "stuff_colors": [list(category.color) for category in ordered],
        "stuff_dataset_id_to_contiguous_id": {c.id: number_of[c.id] for c in ordered if not c.is_thing},
    }


def _named(metadata: Any, kind: str, *, but: set[int] = frozenset()) -> list[tuple[int, str]]:
    """Number and name of the things, or of the stuff but for ids that are things; 0 stands for all things in some."""
    classes = metadata.get(f"{kind}_classes", [])
    number_of = metadata.get(f"{kind}_dataset_id_to_contiguous_id")
    if number_of is None:
        number_of = {number: number for number in range(len(classes))} if kind == "thing" else {}
    return sorted(
        (number, classes[number]) for id, number in number_of.items() if id not in but and classes[number] != "things"
    )


def _words(name: str) -> str:
    return Category(id=0, name=name, is_thing=True, color=(0, 0, 0), index=0).words
