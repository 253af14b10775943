"""Conformance: every row of the catalog at its true size, exported and compared in Node."""
