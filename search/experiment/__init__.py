"""A checked search, its template and dry run."""
