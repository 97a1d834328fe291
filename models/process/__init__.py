"""The running process: its cores and random generators, and the line of user code that raised an exception."""
