"""Encoders as tf_keras models, and how to save them as hub SavedModels."""
