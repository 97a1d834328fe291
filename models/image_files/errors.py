"""The error for unusable data. In its own module, because checks of a search file raise it without torch."""


class DataError(ValueError):
    """A data set is missing, broken or too small; the message names the path or class and the fix."""
