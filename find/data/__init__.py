"""Data sets: readers, samples, transforms and batches."""
