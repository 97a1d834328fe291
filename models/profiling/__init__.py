"""Counted operators, measured latency, predicted latency."""
