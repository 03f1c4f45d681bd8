"""How good a model is: exact metrics, one protocol a task, and one call that runs them all."""
