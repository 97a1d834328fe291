"""Architectures with open choices: stages, named spaces, encoding."""
