"""The judge: runs the same cases in Python and in Node, compares, and writes a report."""
