"""What a hyperparameter may be: choices, ranges, constraints, name look-up."""
