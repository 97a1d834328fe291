"""Readers: class folders, manifests, tar shards, Parquet files and arrays as an index; class texts, features."""
