"""The judge: the same cases through Python and Node, a verdict, a report."""
