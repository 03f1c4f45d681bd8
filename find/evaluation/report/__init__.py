"""FIND-Bench for any system: run a model, score or check what another one has predicted, and show all of it."""
