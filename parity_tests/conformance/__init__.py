"""Conformance: every row of the catalog at its true size, from SavedModel to Node and back."""
