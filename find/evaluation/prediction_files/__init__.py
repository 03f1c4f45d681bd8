"""File formats of predictions: COCO's result formats, COCO RLE for masks of queries, npz for vectors."""
