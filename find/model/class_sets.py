"""Names of classes to segment images into, and which of them are things; COCO's sets by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from find.data.sample import plain_name
from find.errors import CheckpointError, InputError

if TYPE_CHECKING:
    from find.model.pretrained import Pretrained

COCO_THINGS = 80
"""The first so many of COCO's panoptic classes can be counted."""
_NAMES = """
person; bicycle; car; motorcycle; airplane; bus; train; truck; boat; traffic light; fire hydrant; stop sign;
parking meter; bench; bird; cat; dog; horse; sheep; cow; elephant; bear; zebra; giraffe; backpack; umbrella;
handbag; tie; suitcase; frisbee; skis; snowboard; sports ball; kite; baseball bat; baseball glove; skateboard;
surfboard; tennis racket; bottle; wine glass; cup; fork; knife; spoon; bowl; banana; apple; sandwich; orange;
broccoli; carrot; hot dog; pizza; donut; cake; chair; couch; potted plant; bed; dining table; toilet; tv;
laptop; mouse; remote; keyboard; cell phone; microwave; oven; toaster; sink; refrigerator; book; clock; vase;
scissors; teddy bear; hair drier; toothbrush; banner; blanket; bridge; cardboard; counter; curtain; door-stuff;
floor-wood; flower; fruit; gravel; house; light; mirror-stuff; net; pillow; platform; playingfield; railroad;
river; road; roof; sand; sea; shelf; snow; stairs; tent; towel; wall-brick; wall-stone; wall-tile; wall-wood;
water-other; window-blind; window-other; tree-merged; fence-merged; ceiling-merged; sky-other-merged;
cabinet-merged; table-merged; floor-other-merged; pavement-merged; mountain-merged; grass-merged; dirt-merged;
paper-merged; food-other-merged; building-other-merged; rock-merged; wall-other-merged; rug-merged
"""

COCO_PANOPTIC_NAMES: tuple[str, ...] = tuple(name.strip() for name in _NAMES.replace("\n", " ").split(";"))
"""COCO's 133 panoptic classes in the order of their ids, as `panoptic_coco_categories.json` of cocodataset/panopticapi
(Kirillov et al., "Panoptic Segmentation", 2019) has them."""


@dataclass(frozen=True)
class ClassSet:
    """Classes by their names, and of each, whether its segments can be counted (a thing) or not (stuff)."""

    names: tuple[str, ...]
    is_thing: tuple[bool, ...]

    @classmethod
    def of(cls, classes: Classes, is_thing: Things = None) -> ClassSet:
        """The classes that a caller names.

        Args:
            classes: names, a set, or the name of one (`CLASS_SETS`).
            is_thing: of each; None for the set's own. Of names without a set, what COCO has as stuff is stuff.

        Raises:
            InputError: no such set, no names or what are none, or as many flags as there are not names.
        """
        if isinstance(classes, str):
            if classes not in CLASS_SETS:
                raise InputError(
                    f"there is no set of classes {classes!r}; give a list of names, [{classes!r}], or one of "
                    f"{', '.join(CLASS_SETS)}"
                )
            classes = CLASS_SETS[classes]
        if isinstance(classes, ClassSet):
            names, flags = classes.names, classes.is_thing
        else:
            names = tuple(classes)
            for number, name in enumerate(names):
                if not isinstance(name, str):
                    raise InputError(f"class names: number {number} is a {type(name).__name__}, not a str")
            flags = tuple(plain_name(name) not in _STUFF for name in names)
        if is_thing is not None:
            if len(is_thing) != len(names):
                raise InputError(
                    f"{len(names)} class names but {len(is_thing)} is_thing; say of each class whether its segments "
                    "can be counted (True) or not (False)"
                )
            flags = tuple(map(bool, is_thing))
        return cls(names, flags)

    def to_json(self) -> list[dict[str, Any]]:
        """One record per class, for config.json; the inverse of `from_json`."""
        return [{"name": name, "is_thing": is_thing} for name, is_thing in zip(self.names, self.is_thing, strict=True)]

    @classmethod
    def from_json(cls, entries: object, source: str) -> ClassSet:
        """Raises CheckpointError, naming `source`, for anything that `to_json` does not write."""
        if not isinstance(entries, list) or not entries:
            raise CheckpointError(f"{source} is {entries!r:.80}; it must be a list of classes with name and is_thing")
        for number, entry in enumerate(entries):
            if not (
                isinstance(entry, dict)
                and entry.keys() == {"name", "is_thing"}
                and isinstance(entry["name"], str)
                and isinstance(entry["is_thing"], bool)
            ):
                raise CheckpointError(
                    f'{source}[{number}] is {entry!r:.80}; a class is like {{"name": "dog", "is_thing": true}}'
                )
        return cls(tuple(entry["name"] for entry in entries), tuple(entry["is_thing"] for entry in entries))


def classes_for(model: Pretrained, classes: Classes | None, is_thing: Things, default: str) -> ClassSet:
    """The classes that a caller names; without any, those that the model was trained on.

    If these are unknown: those of the set `default` all of whose words the language encoder knows. Encoders with a
    fixed vocabulary would only guess at the others; encoders that read any word know the whole set.
    """
    classes = model.trained_classes if classes is None else classes
    if classes is not None:
        return ClassSet.of(classes, is_thing)
    whole = CLASS_SETS[default]
    unknown = model.language.tokenize(list(whole.names)).unknown
    known = [number for number, words in enumerate(unknown) if not words] or range(len(whole.names))
    part = ClassSet(tuple(whole.names[number] for number in known), tuple(whole.is_thing[number] for number in known))
    return ClassSet.of(part, is_thing)


Classes: TypeAlias = str | ClassSet | Sequence[str]
Things: TypeAlias = Sequence[bool] | None

_WORDS = tuple(map(plain_name, COCO_PANOPTIC_NAMES))
_STUFF = frozenset(_WORDS[COCO_THINGS:])

CLASS_SETS = {
    "coco-panoptic": ClassSet(_WORDS, tuple(number < COCO_THINGS for number in range(len(_WORDS)))),
    "coco-instance": ClassSet(_WORDS[:COCO_THINGS], (True,) * COCO_THINGS),
}
"""COCO's 133 panoptic classes, and the 80 things among them, as one would say them ("sky" for sky-other-merged)."""
