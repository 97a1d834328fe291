"""Searchers: what to try next, given what was learned."""
