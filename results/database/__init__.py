"""Tables, records, and everything that reads or writes them."""
