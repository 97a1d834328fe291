"""The error of data that cannot be used; apart, because checks of a search file raise it without importing torch."""


class DataError(ValueError):
    """A data set is missing, broken or too small; the message names the path or class and the cure."""
