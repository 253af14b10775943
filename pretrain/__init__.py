"""Trains the weights of the default encoder on Chinese text, without labels, and measures them."""

# First: its programs import TensorFlow at their top, before anything of ours.
import support.quiet_tensorflow  # noqa: F401
