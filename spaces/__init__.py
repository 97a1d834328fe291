"""Search spaces of architectures and training recipes, their exact costs, and hard budgets."""
