"""Nodes: a cluster whose workers have all gone is waited for, but not for ever."""

import logging
import time
from dataclasses import dataclass

from .mishaps import Stop, StopKind
from .ray_runtime import alive, fitting
from .sections import ResourcesSection

LOOK_S = 1.0  # between two questions to the cluster
log = logging.getLogger("archsieve")


@dataclass
class Nodes:
    """Watches whether any node can still run a trial of ``asked`` resources."""

    asked: ResourcesSection
    _looked: float = float("-inf")
    _alone_since: float | None = None

    def look(self, busy: bool) -> Stop | None:
        """The stop of the run where nothing has been ``busy``, nor could have been, for ``node_timeout_s``."""
        now = time.monotonic()
        if busy:
            self._alone_since = None
        if busy or now - self._looked < LOOK_S:
            return None
        self._looked = now
        if self._room():
            self._alone_since = None
            return None
        if self._alone_since is None:
            self._alone_since = now
            log.warning("%s; waiting %.0f s for one to come", self._none(), self.asked.node_timeout_s)
        if now - self._alone_since < self.asked.node_timeout_s:
            return None
        return Stop(StopKind.NO_NODES, f"{self._none()}, and none came in {self.asked.node_timeout_s:g} s")

    def _room(self) -> bool:
        """Whether one machine has all of it: a trial is not spread over several."""
        return fitting(self.asked, alive())

    def _none(self) -> str:
        gpus = f" and {self.asked.gpus:g} GPUs" if self.asked.gpus else ""
        return f"no node of the cluster has {self.asked.cpus_per_trial:g} CPUs{gpus} any more"
