"""A space under a budget: count, sample, index, mutate, prove infeasible."""
