"""What every Python folder needs: errors, exit codes, options, printing, reading input files."""
