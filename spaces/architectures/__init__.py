"""One network as a value: cost, budget, published networks by name."""
