"""The Python exporter: makes a TF.js bundle from a hub model and its vocab."""
