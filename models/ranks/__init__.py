"""Ranks: the processes that train one network together, one for each GPU."""
