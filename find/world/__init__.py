"""The synthetic world: scenes of drawn things with true sentences, in the layout of COCO and FIND-Bench."""

from find.world.contact_sheet import contact_sheet
from find.world.lexicon import vocabulary
from find.world.scene import Scene, scene, scenes
from find.world.writer import generate_world

__all__ = ["Scene", "contact_sheet", "generate_world", "scene", "scenes", "vocabulary"]
