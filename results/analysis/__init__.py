"""Analysis of trials: problems that learning curves show, and the importance of recipe and choices."""
