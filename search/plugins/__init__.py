"""Own code of users: found, checked, recorded, and sent to the workers."""
