"""Custom code: found, checked, recorded, and sent to the workers."""
