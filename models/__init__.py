"""One network: built, trained, examined."""
