"""What one training step changes: optimizers, learning rates, fine-tuning, penalties and averaged weights."""
