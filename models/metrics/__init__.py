"""Metrics of a network, computed from labels and class probabilities."""
