"""Data sets: loading, splits, folds, image and text features."""
