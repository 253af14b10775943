"""Compares the tokenizers with their peers, on the real reviews."""
