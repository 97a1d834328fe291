"""Metrics by name: direction, range and label of each, own metrics, and the metric that selects."""
