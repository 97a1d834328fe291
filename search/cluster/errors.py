"""Errors of the cluster."""


class ResourceError(RuntimeError):
    """The machines do not have the resources that the experiment needs."""


class RayLostError(ResourceError):
    """Ray's own processes have died under a run, which can be resumed."""


class StopRequestedError(Exception):
    """A preparation was cancelled because the run must stop."""
