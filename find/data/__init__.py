"""Data sets in COCO's panoptic layout, on their way from files to a `Batch`."""
