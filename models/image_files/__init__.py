"""Image files: listing, checking and decoding them."""
