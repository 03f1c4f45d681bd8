"""From photographs to annotations that a model proposes and people correct."""
