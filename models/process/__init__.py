"""The running process: its cores and random generators."""
