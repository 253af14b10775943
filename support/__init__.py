"""What every Python room needs: errors, exit codes, options, printing, files of others."""
