"""The error of a plug-in that cannot be used."""


class PluginError(ValueError):
    """A plug-in cannot be found, imported or used; the message names the module, and the line where there is one."""
