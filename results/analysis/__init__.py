"""Analysis of trials: health, importance of recipe and choices, intervals, paired tests, classes."""
