"""Errors: what a store refuses, and why."""


class StoreError(Exception):
    """The store cannot be opened, read or written; the message says which store, why, and what helps."""


class RunExistsError(ValueError):
    """A run of this name is in the store already."""

    def __init__(self, name: str, free: str) -> None:
        super().__init__(
            f"run names are unique, but {name!r} exists; "
            f"take another, such as {free!r}, or go on with it: archsieve resume {name}"
        )
        self.name, self.free = name, free


class RefusedError(Exception):
    """What was asked is not done, for safety; the message says what would have happened."""
