"""Builds and checks what is published."""
