"""The process that loads an untrusted model: its restrictions, and its work."""
