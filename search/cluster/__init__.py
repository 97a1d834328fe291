"""Ray, GPUs, nodes, signals, remote jobs."""
