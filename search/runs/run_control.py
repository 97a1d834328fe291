"""Run control: the heartbeat of a run that this process drives, and the reason to stop it early."""

import time
from dataclasses import dataclass, field

from ...results.database.errors import StoreError, TakenOverError, UnknownTrialError, first_clause, set_back
from ...results.database.store import Store
from ..trials.failure_policy import Stop, StopKind

HEARTBEAT_S = 20  # another host takes a run over after two minutes without a heartbeat


@dataclass
class RunControl:
    """A run that this process drives, from before its first proposal to its end.

    Args:
        store: the results database.
        run_id: the run's id in ``store``.
        stopping: why the run ends before its last trial; None while it continues.
        database_lost: whether the database was removed, replaced or set back. Nothing is written to it any more.
    """

    store: Store
    run_id: int
    stopping: Stop | None = None
    database_lost: bool = False
    _heartbeat_at: float = field(default_factory=time.monotonic)

    def tick(self) -> None:
        """Send a heartbeat if one is due. Called several times a second.

        A heartbeat that the database does not take stops the run. Raises ``TakenOverError`` when another process has
        taken the run over: then this process must not write anything more.
        """
        if time.monotonic() - self._heartbeat_at <= HEARTBEAT_S or self.database_lost:
            return
        self._heartbeat_at = time.monotonic()
        try:
            self.store.heartbeat(self.run_id)
        except TakenOverError:
            raise
        except StoreError as error:
            self.lose_database(error)

    def lose_database(self, error: StoreError) -> None:
        """Stop the run because of ``error``; later reports are spooled and not written to the database."""
        self.database_lost = True
        self.stop(Stop(StopKind.ERROR, str(error), error=error))

    def fail(self, error: Exception) -> None:
        """Stop the run because of an error. A trial that the database lacks means that the database was set back."""
        if isinstance(error, UnknownTrialError):
            self.lose_database(set_back(first_clause(error)))
        self.stop(Stop(StopKind.ERROR, str(error), error=error))

    def stop(self, stop: Stop) -> None:
        """Stop the run before its last trial. The first reason is kept; later ones are ignored."""
        self.stopping = self.stopping or stop

    def should_continue(self) -> bool:
        """Send a due heartbeat and return whether the run continues. Polled while workers prepare the run."""
        self.tick()
        return self.stopping is None
