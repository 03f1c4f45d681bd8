"""Search: one scoring function, and the album of images that it searches."""
