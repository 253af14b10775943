"""The judge: runs the same cases in Python and in Node, compares, and writes a report."""

# First: its programs import TensorFlow at their top, before anything of ours.
import support.quiet_tensorflow  # noqa: F401
