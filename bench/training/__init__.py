"""Training a classifier: ours against the design that it grew out of."""
