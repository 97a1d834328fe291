"""Checks of a network, and zero-cost proxies."""
