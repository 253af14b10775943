"""TensorFlow in Node against TensorFlow in Python: the same library, the same SavedModel."""
