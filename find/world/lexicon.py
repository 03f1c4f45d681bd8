"""All words that texts about the world can hold, for a tokenizer that has to know them."""

from __future__ import annotations

from find.world.grammar import WORDINGS
from find.world.kinds import COLOURS, STUFF, THINGS, Pattern, Size

_COMPANY = """
a an the and or with of in on at to is are there it its this that one two three four five six another other
photo picture image scene view showing shows stands flies lies floats rests hangs near by beside between under
underneath below beneath over above behind front left right side next while both here small large big little
tiny huge plain striped spotted stripes spots dotted red orange yellow green blue purple pink brown black white
gray grey violet person people man woman animal vehicle thing object car automobile plane aeroplane airplane
ship sofa couch mug cup bike bicycle ball sports lorry bus train kitty puppy lamb ox flower pot plant watch
sun ground water ocean sea beach sand lawn grass meadow field street road snow sky wall floor room fence
mountain hill house tree other merged stuff wood brick region entity colored coloured has have standing sitting
flying parked from not no which what where empty toward against along top bottom upper lower middle center
closest nearest far leftmost rightmost
"""


def vocabulary() -> tuple[str, ...]:
    """Every lower-case word that a sentence, caption or class name of the world can hold, and common company."""
    words = set(_COMPANY.split())
    for kind in (*THINGS, *STUFF):
        for name in (*kind.nouns, kind.name.replace("-", " ")):
            words.update(name.split())
    words.update(colour.name for colour in COLOURS)
    words.update(option.value for option in (*Size, *Pattern))
    words.update(w for options in WORDINGS.values() for option in options for w in option.split())
    return tuple(sorted(words))
