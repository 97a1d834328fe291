"""The dashboard: copy a run to a temporary Optuna storage, and serve it with optuna-dashboard on this machine."""

import warnings
from collections.abc import Mapping, Sequence
from datetime import datetime
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any, Literal
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from ...results.database.reader import StoreReader
from ...results.database.records import Trial, TrialState
from ...spaces.metrics.registry import ACCURACY
from ...spaces.metrics.selection import Selection
from ..cluster.errors import ResourceError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

LOOPBACK = "127.0.0.1"  # the dashboard has no login, so no other machine may reach it
LOG_RANGE_FACTOR = 20  # a range is shown on a logarithmic scale if its ends differ by more than this factor
_USER_ATTRS = ("trial", "fingerprint", "params", "macs", "activations", "memory_bytes", "latency_ms", "seed", "reason")
# Optuna has no state for an interrupted trial; WAITING is one that runs again later
_STATES = {
    TrialState.QUEUED: "WAITING",
    TrialState.RUNNING: "RUNNING",
    TrialState.COMPLETED: "COMPLETE",
    TrialState.STOPPED_EARLY: "PRUNED",
    TrialState.FAILED: "FAIL",
    TrialState.INTERRUPTED: "WAITING",
}


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True  # an open request does not delay the end of the program


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: one page makes dozens of requests."""


def scratch_copy(store: StoreReader, run: str | int) -> "BaseStorage":
    """Return an Optuna storage in memory with ``run`` as its only study; changes of it never reach the database.

    Parameters are the keys of the recipe and the choices that vary between trials. Costs are user attributes of a
    trial. Test accuracy is left out, because the dashboard can sort by every value, and no trial may be selected by it.
    """
    import optuna

    record = store.run(run)
    trials = store.trials(record.name)
    storage = optuna.storages.InMemoryStorage()
    selection = Selection.from_config(record.config)
    direction: Literal["maximize", "minimize"] = "maximize" if selection.higher_is_better else "minimize"
    study = optuna.create_study(storage=storage, study_name=record.name, direction=direction)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna calls metric names experimental
        study.set_metric_names([selection.stored_name])
    distributions = _distributions(trials)
    for trial in trials:
        frozen = _frozen_trial(trial, store.curve(trial.trial).get(selection.stored_name, []), distributions)
        storage.create_new_trial(study._study_id, template_trial=frozen)
    return storage


def _frozen_trial(
    trial: Trial, curve: Sequence[tuple[int, float]], distributions: Mapping[str, "BaseDistribution"]
) -> "FrozenTrial":
    """Convert a trial to an Optuna trial; ``curve`` is (epoch, value of the selecting metric)."""
    from optuna.trial import FrozenTrial
    from optuna.trial import TrialState as OptunaState

    state = OptunaState[_STATES[trial.state]]
    if state is OptunaState.COMPLETE and trial.metric_value is None:
        state = OptunaState.FAIL  # Optuna requires a value for a complete trial
    params = {name: value for name, value in _params(trial).items() if name in distributions}
    return FrozenTrial(
        number=trial.number,
        trial_id=trial.number,
        state=state,
        value=trial.metric_value if state in (OptunaState.COMPLETE, OptunaState.PRUNED) else None,
        datetime_start=_local(trial.started_at),
        datetime_complete=_local(trial.ended_at) if state.is_finished() else None,
        params=params,
        distributions={name: distributions[name] for name in params},
        user_attrs=_user_attributes(trial),
        system_attrs={},
        intermediate_values=dict(curve),
    )


def _user_attributes(trial: Trial) -> dict[str, Any]:
    """Return the costs of the trial, and the metrics that are recorded with the selecting one."""
    others = {} if trial.metric == ACCURACY else {"val_accuracy": trial.val_accuracy}
    others |= {name: value for name, value in trial.metrics.items() if name != trial.metric}
    entries = {name: getattr(trial, name) for name in _USER_ATTRS} | others
    return {name: value for name, value in entries.items() if value is not None}


def _local(at: datetime | None) -> datetime | None:
    """Return a UTC time as local time without a time zone, as Optuna stores it."""
    return None if at is None else at.astimezone().replace(tzinfo=None)


def _params(trial: Trial) -> dict[str, Any]:
    """Return the recipe and the choices as parameters of Optuna; lists and tables become strings."""
    # the prefix keeps a choice apart from a key of the recipe with the same name
    entries = {**trial.recipe, **{f"choice {key}": value for key, value in trial.choices.items()}}
    plain = (bool, int, float, str)
    return {
        key: value if isinstance(value, plain) else str(value) for key, value in entries.items() if value is not None
    }


def _distributions(trials: Sequence[Trial]) -> dict[str, "BaseDistribution"]:
    """Return, for each parameter that varies, the smallest distribution that contains the values of all trials."""
    values_of: dict[str, list[Any]] = {}
    for trial in trials:
        for name, value in _params(trial).items():
            values_of.setdefault(name, []).append(value)
    # compared as text: in Python 1, 1.0 and True are equal, but they are different options
    return {name: _distribution(values) for name, values in values_of.items() if len(set(map(repr, values))) > 1}


def _distribution(values: Sequence[Any]) -> "BaseDistribution":
    """Return the smallest distribution that contains ``values``."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    kinds = set(map(type, values))  # not isinstance, because bool is a subclass of int
    if kinds == {int}:
        return IntDistribution(min(values), max(values))
    if kinds <= {int, float}:
        low, high = float(min(values)), float(max(values))
        return FloatDistribution(low, high, log=0 < low * LOG_RANGE_FACTOR < high)
    return CategoricalDistribution(sorted(set(values), key=repr))


def server(store: StoreReader, run: str | int, port: int) -> WSGIServer:
    """Return a server of the run's dashboard on the loopback address, not yet started; port 0 selects a free port.

    Raises ``ResourceError`` if optuna-dashboard is not installed or the port is in use.
    """
    try:
        from optuna_dashboard import wsgi
    except ImportError as error:
        raise ResourceError(
            f"the dashboard needs the package optuna-dashboard, but its import failed with {error}; "
            "run pip install 'archsieve[dashboard]'"
        ) from None
    storage = scratch_copy(store, run)
    try:
        return make_server(LOOPBACK, port, wsgi(storage), server_class=_Server, handler_class=_QuietHandler)
    except OSError as error:
        raise ResourceError(
            f"the dashboard needs port {port} of {LOOPBACK}, but got {error.strerror}; choose another with --port"
        ) from None
