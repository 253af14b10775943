"""Starts and reads both sides: Python as the model's users call it, and Node."""
