"""Architectures as torch modules, and pretrained backbones."""
