"""One classifier, its encoder frozen and updated, in Python and in Node, measured."""
