"""Sieve convolutional architectures through a budget, train the ones that pass, and answer "which is best" from a database."""

__version__ = "0.1.0"
