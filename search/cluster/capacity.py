"""Nodes: how much room the machines have for trials; where all have gone they are waited for, but not for ever."""

import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from ...results.database.records import Trial
from ..config.schema import ResourcesSection
from ..trials.failure_policy import Stop, StopKind
from .gpu_sharing import SMALLEST
from .ray_runtime import alive, fitting

LOOK_S = 1.0  # between two questions to the cluster
log = logging.getLogger("archsieve")


@dataclass
class Nodes:
    """The machines that can run trials of ``asked`` resources, as ``ask`` tells of them.

    ``share`` is a trial's part of a GPU where they differ.
    """

    asked: ResourcesSection
    share: Callable[[Trial], float] | None = None
    ask: Callable[[], list[dict[str, Any]]] = alive
    _shares: dict[int, float] = field(default_factory=dict)  # of the trials seen so far, by id
    _machines: list[dict[str, Any]] = field(default_factory=list)
    _asked_at: float = float("-inf")
    _alone_since: float | None = None

    def full(self, under_way: Collection[Trial]) -> bool:
        """Whether the trials under way leave no machine that could run another one beside them."""
        self._refresh()
        if self.share is None:
            return len(under_way) >= fitting(self.asked, self._machines)
        self._shares |= {trial.trial: self.share(trial) for trial in under_way if trial.trial not in self._shares}
        taken = sum(self._shares[trial.trial] for trial in under_way)
        gpus = sum(machine["Resources"].get("GPU", 0) for machine in self._machines)
        least = self.asked.model_copy(update={"gpus_per_trial": SMALLEST})
        return taken >= gpus or len(under_way) >= fitting(least, self._machines)

    def look(self, busy: bool) -> Stop | None:
        """The stop of the run where nothing has been ``busy``, nor could have been, for ``node_timeout_s``."""
        if busy or not self.full(()):
            self._alone_since = None
            return None
        now = time.monotonic()
        if self._alone_since is None:
            self._alone_since = now
            log.warning("%s; waiting %.0f s for one to come", self._none(), self.asked.node_timeout_s)
        if now - self._alone_since < self.asked.node_timeout_s:
            return None
        return Stop(StopKind.NO_NODES, f"{self._none()}, and none came in {self.asked.node_timeout_s:g} s")

    def _refresh(self) -> None:
        if time.monotonic() - self._asked_at >= LOOK_S:
            self._asked_at, self._machines = time.monotonic(), self.ask()

    def _none(self) -> str:
        gpus = f" and {self.asked.gpus:g} GPUs" if self.asked.gpus else ""
        return f"no node of the cluster has {self.asked.cpus_per_trial:g} CPUs{gpus} any more"
