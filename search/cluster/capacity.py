"""Cluster capacity: how many trials fit. Waits up to ``node_timeout_s`` when no node is left."""

import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from ...results.database.records import Trial
from ..config.schema import ResourcesSection
from .gpu_sharing import MIN_SHARE
from .ray_runtime import count_trial_slots, live_nodes

REFRESH_S = 1.0  # between two queries to the cluster
log = logging.getLogger("archsieve")


@dataclass
class ClusterCapacity:
    """The capacity of the cluster for trials of ``resources``.

    Args:
        resources: what one trial takes.
        share: returns a trial's share of a GPU, for runs whose trials take different shares.
        list_nodes: returns Ray's records of the live nodes.
    """

    resources: ResourcesSection
    share: Callable[[Trial], float] | None = None
    list_nodes: Callable[[], list[dict[str, Any]]] = live_nodes
    _shares: dict[int, float] = field(default_factory=dict)  # of the trials seen so far, by id
    _nodes: list[dict[str, Any]] = field(default_factory=list)
    _refreshed_at: float = float("-inf")
    _without_nodes_since: float | None = None

    def is_full(self, running: Collection[Trial]) -> bool:
        """Return whether no node can run another trial in addition to the ``running`` ones."""
        self._refresh()
        if self.share is None:
            return len(running) >= count_trial_slots(self.resources, self._nodes)
        # A share needs the costs of the trial's network; they never change, so compute them once per trial.
        self._shares |= {trial.trial: self.share(trial) for trial in running if trial.trial not in self._shares}
        used = sum(self._shares[trial.trial] for trial in running)
        gpus = sum(node["Resources"].get("GPU", 0) for node in self._nodes)
        # The share of the next trial is unknown until it is proposed. Assume the smallest one: if it turns out larger,
        # Tune keeps the trial pending until it fits.
        smallest = self.resources.model_copy(update={"gpus_per_trial": MIN_SHARE})
        return used >= gpus or len(running) >= count_trial_slots(smallest, self._nodes)

    def why_unavailable(self, *, busy: bool) -> str | None:
        """Return why the run must stop: no node has had room for a trial for ``node_timeout_s``; else None.

        ``busy`` means that a trial is running.
        """
        if busy or not self.is_full(()):
            self._without_nodes_since = None
            return None
        now = time.monotonic()
        if self._without_nodes_since is None:
            self._without_nodes_since = now
            log.warning("%s; waiting up to %.0f s for a node", self._message(), self.resources.node_timeout_s)
        if now - self._without_nodes_since < self.resources.node_timeout_s:
            return None
        return f"{self._message()}, and none joined within {self.resources.node_timeout_s:g} s"

    def _refresh(self) -> None:
        # Tune's loop asks for the capacity at every step, many times a second; do not query the cluster each time.
        if time.monotonic() - self._refreshed_at >= REFRESH_S:
            self._refreshed_at, self._nodes = time.monotonic(), self.list_nodes()

    def _message(self) -> str:
        gpus = f" and {self.resources.gpus:g} GPUs" if self.resources.gpus else ""
        return f"no node of the cluster has {self.resources.cpus_per_trial:g} CPUs{gpus} any more"
