"""Structured pruning: the result is a smaller dense model that stock loaders read."""
