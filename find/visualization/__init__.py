"""Drawing predictions, queries and hits."""
