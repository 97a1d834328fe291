"""Run control: the heartbeat of a run that this process drives, and the reason to stop it early."""

import time
from dataclasses import dataclass, field

from ...results.database.store import Store
from ..trials.failure_policy import Stop

HEARTBEAT_S = 20  # another host takes a run over after two minutes without a heartbeat


@dataclass
class RunControl:
    """A run that this process drives, from before its first proposal to its end.

    Args:
        store: the results database.
        run_id: the run's id in ``store``.
        stopping: why the run ends before its last trial; None while it continues.
    """

    store: Store
    run_id: int
    stopping: Stop | None = None
    _heartbeat_at: float = field(default_factory=time.monotonic)

    def tick(self) -> None:
        """Send a heartbeat if one is due. Called several times a second.

        Raises ``StoreError`` when another process has taken the run over.
        """
        if time.monotonic() - self._heartbeat_at > HEARTBEAT_S:
            self._heartbeat_at = time.monotonic()
            self.store.heartbeat(self.run_id)

    def stop(self, stop: Stop) -> None:
        """Stop the run before its last trial. The first reason is kept; later ones are ignored."""
        self.stopping = self.stopping or stop

    def should_continue(self) -> bool:
        """Send a due heartbeat and return whether the run continues. Polled while workers prepare the run."""
        self.tick()
        return self.stopping is None
