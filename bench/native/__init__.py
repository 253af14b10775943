"""Compares TensorFlow in Node with TensorFlow in Python: same library, same SavedModel."""
