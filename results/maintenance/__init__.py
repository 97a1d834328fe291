"""Backup, upgrade, integrity check."""
