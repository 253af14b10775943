"""Measures texts to vectors: ours against other runtimes."""
