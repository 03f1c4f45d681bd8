"""Queries: sentences in which words and regions of images stand for things."""
