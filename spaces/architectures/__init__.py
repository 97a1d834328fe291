"""Architectures as immutable values, their costs, budgets, and published networks by name."""
