"""A model's signature as one frozen graph: read, checked, cut, and written for TF.js."""
