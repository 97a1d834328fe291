"""Results of runs: the database, queries, analysis, reports, and import and export."""
