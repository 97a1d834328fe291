"""A search space under a budget: count, sample, index and mutate architectures, and prove that none fits."""
