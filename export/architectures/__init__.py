"""Encoders as tf_keras models, saved as hub SavedModels."""
