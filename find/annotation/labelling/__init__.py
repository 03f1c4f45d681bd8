"""Model-assisted annotation: a model proposes labels of photos, and people correct them."""
