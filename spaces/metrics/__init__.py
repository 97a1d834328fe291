"""Metrics by name: direction, range and label of each, custom metrics, and the metric that selects."""
