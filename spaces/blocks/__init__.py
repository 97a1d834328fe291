"""Layers and blocks: the operations of a network, with shapes and exact costs."""
