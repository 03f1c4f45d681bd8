"""What the world is made of: categories numbered as in COCO, colours, sizes, patterns and the held-out pairs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from find.world import animals, objects, vehicles
from find.world.pen import Pen


class Size(str, Enum):
    SMALL = "small"
    LARGE = "large"


class Pattern(str, Enum):
    PLAIN = "plain"
    STRIPED = "striped"
    SPOTTED = "spotted"


@dataclass(frozen=True)
class Colour:
    """A named paint; `trim` is the contrasting paint of its stripes and spots (both RGB 0..255)."""

    name: str
    rgb: tuple[int, int, int]
    trim: tuple[int, int, int]


_PALE = (246, 242, 234)
_INKY = (44, 40, 46)
COLOURS: tuple[Colour, ...] = (
    Colour("red", (214, 32, 36), _PALE),
    Colour("orange", (246, 134, 22), _INKY),
    Colour("yellow", (248, 218, 38), _INKY),
    Colour("green", (30, 142, 52), _PALE),
    Colour("blue", (36, 78, 214), _PALE),
    Colour("purple", (128, 44, 168), _PALE),
    Colour("pink", (250, 142, 190), (150, 30, 96)),
    Colour("brown", (122, 74, 38), _PALE),
    Colour("black", (36, 35, 40), (205, 205, 210)),
    Colour("white", (244, 244, 242), (110, 110, 118)),
)


class Place(Enum):
    """Where a thing can be: up in the sky, afloat, on open ground, on a room's floor, or hung on its wall."""

    AIR = "air"
    WATER = "water"
    GROUND = "ground"
    FLOOR = "floor"
    WALL = "wall"


@dataclass(frozen=True)
class Thing:
    """A countable category: COCO's id and name, the nouns that sentences use, and how it is drawn.

    `width` and `height` are the sides of the frame that `draw` works in, the longer one about 1.
    """

    id: int
    name: str
    supercategory: str
    places: tuple[Place, ...]
    width: float
    height: float
    draw: Callable[[Pen], None]
    nouns: tuple[str, ...]
    patterned: bool = True


@dataclass(frozen=True)
class Stuff:
    """An uncountable category; things are `preposition` it, and upright stuff can stand behind things."""

    id: int
    name: str
    supercategory: str
    nouns: tuple[str, ...]
    preposition: str = "on"
    upright: bool = False


_OUT = (Place.GROUND,)
_BOTH = (Place.GROUND, Place.FLOOR)
_FLYING = (Place.AIR,)

THINGS: tuple[Thing, ...] = (
    Thing(1, "person", "person", _BOTH, 0.44, 1.0, animals.person, ("person",)),
    Thing(2, "bicycle", "vehicle", _BOTH, 1.0, 0.64, vehicles.bicycle, ("bicycle", "bike"), patterned=False),
    Thing(3, "car", "vehicle", _OUT, 1.0, 0.51, vehicles.car, ("car",)),
    Thing(5, "airplane", "vehicle", _FLYING, 1.0, 0.54, vehicles.airplane, ("airplane", "plane")),
    Thing(6, "bus", "vehicle", _OUT, 1.0, 0.6, vehicles.bus, ("bus",)),
    Thing(7, "train", "vehicle", _OUT, 1.0, 0.65, vehicles.train, ("train",)),
    Thing(8, "truck", "vehicle", _OUT, 1.0, 0.6, vehicles.truck, ("truck",)),
    Thing(9, "boat", "vehicle", (Place.WATER,), 1.0, 0.9, vehicles.boat, ("boat",)),
    Thing(10, "traffic light", "outdoor", _OUT, 0.36, 1.0, vehicles.traffic_light, ("traffic light",)),
    Thing(13, "stop sign", "outdoor", _OUT, 0.62, 1.0, vehicles.stop_sign, ("stop sign",)),
    Thing(15, "bench", "outdoor", _OUT, 1.0, 0.6, objects.bench, ("bench",)),
    Thing(16, "bird", "animal", (Place.AIR, Place.GROUND), 1.0, 0.66, animals.bird, ("bird",)),
    Thing(17, "cat", "animal", _BOTH, 0.7, 1.0, animals.cat, ("cat",)),
    Thing(18, "dog", "animal", _BOTH, 1.0, 0.8, animals.dog, ("dog",)),
    Thing(19, "horse", "animal", _OUT, 1.0, 0.96, animals.horse, ("horse",)),
    Thing(20, "sheep", "animal", _OUT, 1.0, 0.76, animals.sheep, ("sheep",)),
    Thing(21, "cow", "animal", _OUT, 1.0, 0.74, animals.cow, ("cow",)),
    Thing(22, "elephant", "animal", _OUT, 1.0, 0.84, animals.elephant, ("elephant",)),
    Thing(25, "giraffe", "animal", _OUT, 0.68, 1.0, animals.giraffe, ("giraffe",)),
    Thing(28, "umbrella", "accessory", _BOTH, 1.0, 0.96, objects.umbrella, ("umbrella",)),
    Thing(37, "sports ball", "sports", _BOTH, 1.0, 1.0, objects.sports_ball, ("ball", "sports ball"), patterned=False),
    Thing(38, "kite", "sports", _FLYING, 0.7, 1.0, objects.kite, ("kite",)),
    Thing(44, "bottle", "kitchen", _BOTH, 0.37, 1.0, objects.bottle, ("bottle",)),
    Thing(47, "cup", "kitchen", _BOTH, 1.0, 0.84, objects.cup, ("cup", "mug")),
    Thing(62, "chair", "furniture", _BOTH, 0.63, 1.0, objects.chair, ("chair",)),
    Thing(63, "couch", "furniture", _BOTH, 1.0, 0.58, objects.couch, ("couch", "sofa")),
    Thing(64, "potted plant", "furniture", _BOTH, 0.7, 1.0, objects.potted_plant, ("potted plant", "plant")),
    Thing(85, "clock", "indoor", (Place.WALL, Place.FLOOR), 0.9, 1.0, objects.clock, ("clock",)),
    Thing(86, "vase", "indoor", _BOTH, 0.7, 1.0, objects.vase, ("vase",)),
)

FENCE = Stuff(185, "fence-merged", "structural", ("fence",), upright=True)
FLOOR = Stuff(190, "floor-other-merged", "floor", ("floor",))
GRASS = Stuff(193, "grass-merged", "plant", ("grass",))
MOUNTAIN = Stuff(192, "mountain-merged", "solid", ("mountain",), upright=True)
ROAD = Stuff(149, "road", "ground", ("road", "street"))
SAND = Stuff(154, "sand", "ground", ("sand",))
SEA = Stuff(155, "sea", "water", ("sea",), upright=True)
SKY = Stuff(187, "sky-other-merged", "sky", ("sky",), preposition="in")
SNOW = Stuff(159, "snow", "ground", ("snow",))
WALL = Stuff(199, "wall-other-merged", "wall", ("wall",), upright=True)
STUFF: tuple[Stuff, ...] = (ROAD, SAND, SEA, SNOW, FENCE, SKY, FLOOR, MOUNTAIN, GRASS, WALL)

Kind = Thing | Stuff

HELD_OUT: frozenset[tuple[str, str]] = frozenset(
    {
        ("car", "pink"),
        ("dog", "purple"),
        ("bus", "green"),
        ("chair", "orange"),
        ("cat", "blue"),
        ("horse", "red"),
        ("kite", "black"),
        ("boat", "brown"),
        ("umbrella", "yellow"),
        ("person", "white"),
        ("vase", "red"),
        ("elephant", "green"),
    }
)
"""Pairs of category name and colour that no train image of any seed shows."""
