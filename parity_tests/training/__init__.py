"""Compares the head's training in Keras and in TF.js: equal steps must give equal weights."""
