"""Bridges to libraries that the package itself never needs."""
