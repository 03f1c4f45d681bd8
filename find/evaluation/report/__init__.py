"""The HTML report of FIND-Bench runs."""
