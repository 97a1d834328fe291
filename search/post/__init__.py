"""After a search: retrain, ensemble, diagnose, explain."""
