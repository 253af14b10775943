"""Benchmarks: this project and its peers side by side, on the same texts in the same run."""
