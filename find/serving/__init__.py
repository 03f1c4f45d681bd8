"""The service: an album's search, segmentation and embedding over HTTP."""
