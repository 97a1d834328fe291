"""Best trials, Pareto front, filter expressions, SQL, data frames."""
