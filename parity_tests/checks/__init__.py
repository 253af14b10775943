"""The comparisons and their rules: numbers, tokens and labels, weights, files, invariances."""
