"""Commands: one file for each group, importing what is heavy only when it runs."""
