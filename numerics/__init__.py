"""The rounding error of float32 in a model, and how far a runtime may differ from Python.

Both the exporter and the parity tests use this folder; it uses neither.
"""
