"""Measures what the trained weights are worth on the reviews, beside what needs no encoder."""
