"""What every Python folder needs: errors, exit codes, options, printing, reading input files."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
"""The directory of the project."""
