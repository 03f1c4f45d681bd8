"""Evaluation: exact metrics, one protocol per task, and one call that runs them all."""
