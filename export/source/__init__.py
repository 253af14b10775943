"""Finds a model, and examines its files before anything is loaded."""
