"""The published FIND checkpoints: their names and conventions, download and conversion."""
