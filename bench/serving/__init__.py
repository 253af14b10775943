"""A classifier behind HTTP, with many connections at a time."""
