"""Starts the programs of both sides: finds Python and makes its environments."""
