"""The files that predictions travel in: COCO's own result formats, COCO RLE for masks of queries, npz for vectors."""
