"""Compares our conversion with TF.js's own: the same model on the same backend."""
