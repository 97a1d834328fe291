"""One trial in a worker: trainable, reports, checkpoints, failures, cache."""
