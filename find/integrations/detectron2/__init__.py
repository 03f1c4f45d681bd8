"""Our data, predictions and models in detectron2's terms; detectron2 is imported only when something here is called."""

from find.integrations.detectron2.catalog import Registered, register
from find.integrations.detectron2.classes import Classes
from find.integrations.detectron2.outputs import entity_instances, instances, panoptic_seg
from find.integrations.detectron2.predictor import Predictor

__all__ = ["Classes", "Predictor", "Registered", "entity_instances", "instances", "panoptic_seg", "register"]
