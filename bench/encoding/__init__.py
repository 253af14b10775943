"""Texts to vectors: ours against the runtimes that one would otherwise take."""
