"""The control of a run by this process: its heartbeat, and why it ends before its last trial."""

import time
from dataclasses import dataclass, field

from ...results.database.store import Store
from ..trials.failure_policy import Stop

HEARTBEAT_S = 20


@dataclass
class RunControl:
    """A run of ``store`` that this process drives, from before its first proposal to its end.

    ``stopping`` is why the run ends before its last trial; None while it continues.
    """

    store: Store
    run_id: int
    stopping: Stop | None = None
    _heartbeat_at: float = field(default_factory=time.monotonic)

    def tick(self) -> None:
        """Send a heartbeat when one is due; called several times a second. Raises ``StoreError`` for a lost run."""
        if time.monotonic() - self._heartbeat_at > HEARTBEAT_S:
            self._heartbeat_at = time.monotonic()
            self.store.heartbeat(self.run_id)

    def stop(self, stop: Stop) -> None:
        """End the run before its last trial; the first reason is the one that counts."""
        self.stopping = self.stopping or stop

    def go_on(self) -> bool:
        """Tick, and return whether the run continues: asked again and again while workers prepare it."""
        self.tick()
        return self.stopping is None
