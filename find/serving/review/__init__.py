"""A local page on which a person goes through the labels of photographs."""
