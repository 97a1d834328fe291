"""The dashboard: a run copied to a scratch Optuna storage, and shown by optuna-dashboard on loopback."""

import warnings
from collections.abc import Mapping, Sequence
from datetime import datetime
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from ...results.database.reader import Reading
from ...results.database.records import Trial, TrialState
from ..cluster.ray_runtime import ResourceError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

LOOPBACK = "127.0.0.1"
WIDE = 20  # the factor above which a range is shown logarithmically
_TOLD = ("trial", "fingerprint", "params", "macs", "activations", "memory_bytes", "latency_ms", "seed", "reason")
_STATES = {
    TrialState.QUEUED: "WAITING",
    TrialState.RUNNING: "RUNNING",
    TrialState.COMPLETED: "COMPLETE",
    TrialState.STOPPED_EARLY: "PRUNED",
    TrialState.FAILED: "FAIL",
    TrialState.INTERRUPTED: "WAITING",
}


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: a page makes dozens of requests."""


def scratch_copy(store: Reading, run: str | int) -> "BaseStorage":
    """An Optuna storage in memory with the run as its only study; nothing done to it comes back.

    Parameters are the parts of the recipe and the choices that varied. Costs are attributes of a trial, test accuracy
    is left out: a dashboard sorts by whatever it is given.
    """
    import optuna

    record = store.run(run)
    trials = store.trials(record.name)
    storage = optuna.storages.InMemoryStorage()
    study = optuna.create_study(storage=storage, study_name=record.name, direction="maximize")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna calls metric names experimental
        study.set_metric_names(["val_accuracy"])
    distributions = _distributions(trials)
    for trial in trials:
        copied = _copied(trial, store.curve(trial.trial).get("val_accuracy", []), distributions)
        storage.create_new_trial(study._study_id, template_trial=copied)
    return storage


def _copied(
    trial: Trial, curve: Sequence[tuple[int, float]], distributions: Mapping[str, "BaseDistribution"]
) -> "FrozenTrial":
    from optuna.trial import FrozenTrial
    from optuna.trial import TrialState as OptunaState

    state = OptunaState[_STATES[trial.state]]
    if state is OptunaState.COMPLETE and trial.val_accuracy is None:
        state = OptunaState.FAIL  # Optuna's complete trials have a value
    chosen = {name: value for name, value in _choices(trial).items() if name in distributions}
    return FrozenTrial(
        number=trial.number,
        trial_id=trial.number,
        state=state,
        value=trial.val_accuracy if state in (OptunaState.COMPLETE, OptunaState.PRUNED) else None,
        datetime_start=_local(trial.started_at),
        datetime_complete=_local(trial.ended_at) if state.is_finished() else None,
        params=chosen,
        distributions={name: distributions[name] for name in chosen},
        user_attrs={name: value for name in _TOLD if (value := getattr(trial, name)) is not None},
        system_attrs={},
        intermediate_values=dict(curve),
    )


def _local(at: datetime | None) -> datetime | None:
    """Optuna's moments are local and know no zone."""
    return None if at is None else at.astimezone().replace(tzinfo=None)


def _choices(trial: Trial) -> dict[str, Any]:
    """Recipe and choices under one roof, lists and tables as the words that write them."""
    entries = {**trial.recipe, **{f"choice {key}": value for key, value in trial.choices.items()}}
    plain = (bool, int, float, str)
    return {
        key: value if isinstance(value, plain) else str(value) for key, value in entries.items() if value is not None
    }


def _distributions(trials: Sequence[Trial]) -> dict[str, "BaseDistribution"]:
    """For each parameter that varied, the smallest distribution that holds what the trials had."""
    values: dict[str, list[Any]] = {}
    for trial in trials:
        for name, value in _choices(trial).items():
            values.setdefault(name, []).append(value)
    return {name: _distribution(found) for name, found in values.items() if len(set(map(repr, found))) > 1}


def _distribution(found: Sequence[Any]) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    kinds = set(map(type, found))
    if kinds == {int}:
        return IntDistribution(min(found), max(found))
    if kinds <= {int, float}:
        low, high = float(min(found)), float(max(found))
        return FloatDistribution(low, high, log=0 < low * WIDE < high)
    return CategoricalDistribution(sorted(set(found), key=repr))


def server(store: Reading, run: str | int, port: int) -> WSGIServer:
    """A server of the run's dashboard on loopback, not yet started; port 0 takes a free one.

    ``ResourceError`` where optuna-dashboard is not installed or the port is taken.
    """
    try:
        from optuna_dashboard import wsgi
    except ImportError as error:
        raise ResourceError(
            f"the dashboard needs optuna-dashboard, but: {error}; install it: pip install 'archsieve[dashboard]'"
        ) from None
    storage = scratch_copy(store, run)
    try:
        return make_server(LOOPBACK, port, wsgi(storage), server_class=_Server, handler_class=_Quiet)
    except OSError as error:
        raise ResourceError(
            f"the dashboard needs port {port} of {LOOPBACK}, but: {error.strerror}; name another with --port"
        ) from None
