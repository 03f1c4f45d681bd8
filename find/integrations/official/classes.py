"""The class names that the published FIND was trained and evaluated with."""

from find.model.class_sets import COCO_PANOPTIC_NAMES

BACKGROUND = "background"


def class_words(name: str) -> str:
    """COCO's name of a class as in the prompt: without the suffixes of merged classes."""
    for suffix in ("-other", "-merged", "-stuff"):
        name = name.replace(suffix, "")
    return name


COCO_PANOPTIC: tuple[str, ...] = tuple(map(class_words, COCO_PANOPTIC_NAMES))
"""The words of COCO's 133 panoptic classes, in the order of their ids."""
