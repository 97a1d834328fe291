"""Sieve convolutional architectures through a budget, train the ones that pass, ask a database which is best."""

__version__ = "0.1.0"
