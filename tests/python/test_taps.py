"""Taps: found by structure, kept through every rewrite, equal to the source's own tensors."""
