"""FIND-Bench for your own data: sentences with linked phrases and references for any COCO panoptic or instance set."""
