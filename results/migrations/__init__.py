"""How a store of an older schema becomes one of the next: a file for each step."""
