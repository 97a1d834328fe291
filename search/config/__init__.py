"""The search file: schema and diff."""
