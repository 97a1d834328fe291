"""A trained network as one file."""
