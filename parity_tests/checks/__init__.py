"""What is compared, and by which rule: numbers, words, weights, files, invariances."""
