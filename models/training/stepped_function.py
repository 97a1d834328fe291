"""A function that runs until it reports, and waits there until the next step."""

from collections.abc import Callable
from threading import Semaphore, Thread
from typing import Any

END_TIMEOUT_S = 10  # for code between two reports; a thread that takes longer is left to end by itself


class _Ended(BaseException):
    """Ends the thread of a function that is no longer needed. Not an ``Exception``, which user code may catch."""


class SteppedFunction:
    """``function`` in a thread of its own, one part at a time: the caller waits while the thread runs.

    So user code can be a plain loop that calls a function after each epoch, and a trial still trains one epoch per
    step. :meth:`pause` is called inside ``function``, the other methods outside.
    """

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self._may_run, self._has_stopped = Semaphore(0), Semaphore(0)
        self._error: BaseException | None = None
        self._ending = False
        self._thread = Thread(target=self._run, daemon=True)
        self.returned = False
        self.result: Any = None

    def advance(self) -> None:
        """Run the function until its next :meth:`pause` or its end; raise what it raises."""
        if self._thread.ident is None:
            self._thread.start()
        else:
            self._may_run.release()
        self._has_stopped.acquire()
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def pause(self) -> None:
        """Wait until the next call of :meth:`advance`."""
        self._has_stopped.release()
        self._may_run.acquire()
        if self._ending:
            raise _Ended

    def end(self) -> None:
        """End the function where it waits; nothing to do if it has ended."""
        if self._thread.is_alive():
            self._ending = True
            self._may_run.release()
            self._thread.join(END_TIMEOUT_S)

    def _run(self) -> None:
        try:
            self.result = self._function()
        except _Ended:
            pass
        except BaseException as error:  # SystemExit too: user code must not end a worker
            self._error = error
        self.returned = True
        self._has_stopped.release()
