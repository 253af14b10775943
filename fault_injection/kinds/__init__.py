"""Kinds of faults; every file here is imported automatically, see fault_injection/registry.py."""
