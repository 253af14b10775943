"""Measures training a classifier: ours against the older design."""
