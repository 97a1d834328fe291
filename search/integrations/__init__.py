"""Optuna studies, Ray Tune results, dashboard."""
