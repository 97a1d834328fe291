"""Layers and blocks: the operations of a network, with output shapes and exact costs."""
