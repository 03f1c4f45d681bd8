"""The synthetic world: scenes of drawn things with true sentences, in the layout of COCO and FIND-Bench."""

from find.data.world.contact_sheet import contact_sheet
from find.data.world.lexicon import vocabulary
from find.data.world.scene import Scene, scene, scenes
from find.data.world.writer import generate_world

__all__ = ["Scene", "contact_sheet", "generate_world", "scene", "scenes", "vocabulary"]
