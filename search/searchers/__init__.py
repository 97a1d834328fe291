"""Searchers: what to try next, given what was learned. One file and one row of the table each."""
