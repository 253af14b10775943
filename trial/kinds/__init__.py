"""Kinds of faults; every file here is found by itself. See trial/registry.py."""
