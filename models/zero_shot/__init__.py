"""Classifiers predicted from text: model, training, baselines, metrics."""
