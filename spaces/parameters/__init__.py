"""Domains and constraints of hyperparameters, look-up of names, and errors of user code."""
