"""Names of classes to segment images into, and which of them are things; COCO's sets by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from find.data.sample import plain_name
from find.errors import InputError

if TYPE_CHECKING:
    from find.foundations.base import LanguageEncoder

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


def classes_known_to(language: LanguageEncoder, classes: Classes | None, is_thing: Things, default: str) -> ClassSet:
    """The classes that a caller names; without any, those of a set all of whose words the language encoder knows.

    Encoders with a fixed vocabulary, as find-tiny's, would only guess at the others. Encoders that read any word know
    the whole set.
    """
    if classes is not None:
        return ClassSet.of(classes, is_thing)
    whole = CLASS_SETS[default]
    unknown = language.tokenize(list(whole.names)).unknown
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
