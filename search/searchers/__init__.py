"""Searchers: what to try next, given the history of a run."""
