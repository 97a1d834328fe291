"""The running process: the cores it may use, and the line of user code that raised an exception."""
