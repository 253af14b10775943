"""Writes the result: terminal, HTML, JSON, JUnit, GitHub annotations, repro folders."""
