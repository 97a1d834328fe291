"""Export of runs to files, and import of runs."""
