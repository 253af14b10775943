"""Measures the start of a process up to its first answer: time and memory."""
