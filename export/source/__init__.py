"""Where a model comes from, and what can be told of it from its files before anything is loaded."""
