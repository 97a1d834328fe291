"""Many networks: which to try next."""
