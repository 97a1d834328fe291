"""Search over many networks: propose, train and record trials."""
