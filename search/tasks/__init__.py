"""What is learned: classification, zero-shot."""
