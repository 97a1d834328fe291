"""Training recipes: the hyperparameters of one training run, and spaces of recipes."""
