"""Kinds of faults; every file here is found by itself. See fault_injection/registry.py."""
