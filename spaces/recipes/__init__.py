"""Training hyperparameters as a value and as a space."""
