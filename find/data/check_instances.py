"""Checks that a folder's instances agree with its panoptic annotations and have valid masks."""

from __future__ import annotations

from functools import partial

from find.data.dataset_issue import DatasetIssue, Report, Severity
from find.data.instances import Instances
from find.data.panoptic import PanopticTable

error = partial(DatasetIssue, Severity.ERROR)
warning = partial(DatasetIssue, Severity.WARNING)


def check_instances(instances: Instances, table: PanopticTable, report: Report) -> None:
    """Reports disagreements of objects with the panoptic annotations, and issues of their masks."""
    file = instances.source
    names = {category.id: category.name for category in table.categories}
    for category in instances.categories:
        if names.get(category.id) != category.name:
            report(
                error("categories differ", file, f"category {category.id}",
                      f'it is "{category.name}" here but {names.get(category.id)!r} in {table.source}',
                      "Use one list of categories")
            )  # fmt: skip
    for one in instances.objects:
        row = table.rows.get(one.image_id)
        if row is None:
            report(
                warning("instance of unknown image", file, one.item, f"the image is not in {table.source}",
                        "Take the instance out")
            )  # fmt: skip
        elif one.category_id not in names:
            report(
                error("unknown category", file, one.item,
                      f"category {one.category_id} is not in {table.source}", "Correct the category", stops=True)
            )  # fmt: skip
    check_masks(instances, table, report)


def check_masks(instances: Instances, table: PanopticTable, report: Report) -> None:
    """Draws every object at the image size of the panoptic table."""
    file = instances.source
    for id, row in table.rows.items():
        height, width = table.sizes[row].tolist()
        image = instances.images.get(id)
        if image is not None and (image.height, image.width) != (height, width):
            report(
                error("wrong size", file, f"image {id}", f"it is {image.width} x {image.height} here but {width} x "
                      f"{height} in the panoptic file", "Correct the one that is wrong", stops=True)
            )  # fmt: skip
    for one in instances.objects:
        row = table.rows.get(one.image_id)
        if row is None:
            continue
        height, width = table.sizes[row].tolist()
        outline = one.outline((height, width), file, report)
        if outline is not None and one.area is not None and one.own_area(outline) != one.area:
            report(
                warning("wrong area", file, one.item, f"the JSON says {one.area:g}, its mask has {outline.pixels} "
                        "pixels, which are counted instead", "Correct the area")
            )  # fmt: skip
