"""Queries on the results database: best trials, Pareto fronts, filter expressions, SQL, data frames."""
