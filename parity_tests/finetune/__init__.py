"""Measures one classifier, with a frozen and an updated encoder, in Python and in Node."""
