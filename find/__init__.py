"""FIND: one embedding space over frozen vision and language models."""
