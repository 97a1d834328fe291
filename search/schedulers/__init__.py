"""What to stop early."""
