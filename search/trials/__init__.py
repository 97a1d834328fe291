"""One trial in a worker: trainable, checkpoints, failures, cache."""
