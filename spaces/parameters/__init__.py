"""Domains and constraints of hyperparameters, and look-up of names."""
