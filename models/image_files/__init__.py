"""Image files: where they are, their content, and decoding them."""
