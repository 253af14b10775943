"""Freezes a model's signature to one graph, checks and rewrites it, and writes it for TF.js."""
