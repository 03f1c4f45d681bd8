"""The published FIND checkpoints: their names, conventions, losses and recipes."""
