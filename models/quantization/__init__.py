"""Networks in int8: post-training static quantisation, and the layer that loses accuracy by it."""
