"""Benchmarks of this project and its peers, on the same texts in the same run."""

# First: its programs import TensorFlow at their top, before anything of ours.
import support.quiet_tensorflow  # noqa: F401
