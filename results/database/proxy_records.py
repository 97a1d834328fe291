"""Proxy records: zero-cost proxy scores of untrained networks, and how well they rank the trained networks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select

from . import schema, trial_statements
from .lease import now
from .reader import StoreReader
from .records import Trial, TrialState
from .rows import run_id_of, upsert
from .writer import StoreWriter

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, numpy.dtype[Any]]

_p = schema.proxy_score.c
COST_PROXIES = ("params", "macs")  # proxies that every trial has, because its costs are known
WARMUP_SELECTED = "warmup_selected"  # kind of the event that holds the candidates that a run selected
MIN_TRIALS_FOR_CORRELATION = 3  # trials that a rank correlation needs


@dataclass(frozen=True)
class ScoredArchitecture:
    """An untrained network, its costs, and for each proxy its score or the reason why it has none."""

    architecture: Mapping[str, Any]
    fingerprint: str
    cost: Mapping[str, int]
    layers: Sequence[Mapping[str, Any]]
    scores: Mapping[str, float | str]


@dataclass(frozen=True)
class RankCorrelation:
    """Rank correlation between a proxy and the validation accuracy of ``n`` trained trials: 1 same order, -1 reverse.

    ``spearman`` and ``kendall`` are None if there are too few trials, or if all have one score or one accuracy.
    """

    proxy: str
    n: int
    spearman: float | None
    kendall: float | None


def record_scores(store: StoreWriter, run_id: int, fingerprint: str, scores: Mapping[str, float | str]) -> None:
    """Record, for an architecture in the database, each proxy's score or the reason why it has none."""
    with store.write_transaction() as connection:
        _write(connection, run_id, fingerprint, scores)


def record_warm_up(
    store: StoreWriter, run_id: int, proxy: str, candidates: Sequence[ScoredArchitecture], train: int
) -> list[dict[str, Any]]:
    """Record the candidates of a run's warm-up with their scores, and select the ``train`` best, in one transaction.

    Returns the selected architectures as JSON values, the highest score of ``proxy`` first and ties by fingerprint.
    Candidates without a score are not selected.
    """
    scored = [candidate for candidate in candidates if not isinstance(candidate.scores[proxy], str)]
    selected = sorted(scored, key=lambda one: (-float(one.scores[proxy]), one.fingerprint))[:train]
    detail = {
        "proxy": proxy,
        "candidates": len(candidates),
        "scored": len(scored),
        "chosen": [candidate.fingerprint for candidate in selected],
    }
    event = {"run_id": run_id, "level": "info", "kind": WARMUP_SELECTED, "detail": detail, "at": now()}
    with store.write_transaction() as connection:
        for candidate in candidates:
            trial_statements.add_architecture(
                connection, candidate.fingerprint, candidate.architecture, candidate.cost, candidate.layers
            )
            _write(connection, run_id, candidate.fingerprint, candidate.scores)
        connection.execute(insert(schema.event).values(**event))
    return [dict(candidate.architecture) for candidate in selected]


def selected_candidates(store: StoreReader, run: str | int) -> list[dict[str, Any]] | None:
    """Return the architectures that :func:`record_warm_up` selected, or None if the run had no warm-up yet."""
    a = schema.architecture.c
    events = store.events(run, WARMUP_SELECTED)
    if not events:
        return None
    selected = events[-1]["detail"]["chosen"]
    with store.read_transaction() as connection:
        rows = connection.execute(select(a.fingerprint, a.json).where(a.fingerprint.in_(selected)))
        architectures = {row.fingerprint: row.json for row in rows}
    # The event holds the order of the scores, which the rows of the database do not have.
    return [architectures[fingerprint] for fingerprint in selected]


def _write(connection: Any, run_id: int, fingerprint: str, scores: Mapping[str, float | str]) -> None:
    key = {"run_id": run_id, "fingerprint": fingerprint}
    rows = [{**key, "name": name, **_value(score)} for name, score in scores.items()]
    upsert(connection, schema.proxy_score, rows, update=("value", "reason"))


def _value(score: float | str) -> dict[str, float | str | None]:
    """Return the columns ``value`` and ``reason`` of a score; a text is the reason why there is no score."""
    missing = isinstance(score, str)
    return {"value": None if missing else score, "reason": score if missing else None}


def scores(store: StoreReader, run: str | int, name: str) -> dict[str, float | None]:
    """Return the score by the proxy ``name`` of each architecture of the run, by fingerprint; None if it has no score.

    >>> scores(store, "digits", "synflow")  # doctest: +SKIP
    {'3f2a...': 61.2, '9c01...': None}
    """
    with store.read_transaction() as connection:
        run_id = run_id_of(connection, run)
        rows = connection.execute(select(_p.fingerprint, _p.value).where(_p.run_id == run_id, _p.name == name))
        return {row.fingerprint: row.value for row in rows}


def scores_of(store: StoreReader, run: str | int, fingerprint: str) -> dict[str, float | str]:
    """Return each proxy's score of one architecture, or the reason why it has none."""
    with store.read_transaction() as connection:
        where = (_p.run_id == run_id_of(connection, run), _p.fingerprint == fingerprint)
        rows = connection.execute(select(_p.name, _p.value, _p.reason).where(*where).order_by(_p.name))
        return {row.name: row.reason if row.value is None else row.value for row in rows}


def rank_correlations(store: StoreReader, run: str | int, trials: Sequence[Trial]) -> list[RankCorrelation]:
    """Return the rank correlation of each proxy of the run with the score of the completed ``trials``.

    Parameters and multiply-accumulates (MACs) come first: they are the baselines that need no computation.
    """
    import numpy as np

    # Trials that were stopped early are left out: their metrics are of different numbers of epochs.
    completed = [trial for trial in trials if trial.state is TrialState.COMPLETED and trial.score is not None]
    names = ("trial", *COST_PROXIES, "score")
    return column_correlations(
        store, run, {name: np.array([getattr(trial, name) for trial in completed]) for name in names}
    )


def column_correlations(store: StoreReader, run: str | int, columns: "Mapping[str, Array]") -> list[RankCorrelation]:
    """Return what :func:`rank_correlations` does, of completed trials given as the columns trial, params, macs, score.

    ``columns`` may also be a numpy array that has these columns.
    """
    import numpy as np

    with store.read_transaction() as connection:
        query = select(_p.name).where(_p.run_id == run_id_of(connection, run)).distinct().order_by(_p.name)
        names = [name for name in connection.scalars(query) if name not in COST_PROXIES]
    correlations = [_correlation(name, columns[name], columns["score"]) for name in COST_PROXIES]
    for name in names:
        by_trial = _scores_by_trial(store, run, name)
        found = [by_trial.get(trial) for trial in columns["trial"].tolist()]
        has_score = np.array([value is not None for value in found], dtype=bool)
        ranked = np.array([value for value in found if value is not None])
        correlations.append(_correlation(name, ranked, columns["score"][has_score]))
    return correlations


def _scores_by_trial(store: StoreReader, run: str | int, name: str) -> dict[int, float | None]:
    t = schema.trial.c
    with store.read_transaction() as connection:
        run_id = run_id_of(connection, run)
        of_trial = (t.run_id == run_id, t.fingerprint == _p.fingerprint)
        query = select(t.trial_id, _p.value).where(*of_trial, _p.run_id == run_id, _p.name == name)
        return {row.trial_id: row.value for row in connection.execute(query)}


def _correlation(name: str, ranked: "Array", metrics: "Array") -> RankCorrelation:
    from scipy.stats import kendalltau, spearmanr

    # If all scores or all metrics are equal, a rank correlation is not defined.
    if len(ranked) < MIN_TRIALS_FOR_CORRELATION or any((column == column[0]).all() for column in (ranked, metrics)):
        return RankCorrelation(name, len(ranked), None, None)
    spearman, kendall = spearmanr(ranked, metrics).statistic, kendalltau(ranked, metrics).statistic
    return RankCorrelation(name, len(ranked), float(spearman), float(kendall))
