"""Proxy scores: what untrained networks scored in a run, and how well that ranks the trained ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from . import schema, trial_writes
from .reading import Reading
from .records import Trial, TrialState
from .rows import run_id_of, upsert

if TYPE_CHECKING:
    from .store import Store

_p = schema.proxy_score.c
FREE = ("params", "macs")  # proxies that every trial has
LEAST = 3  # trials below which a rank correlation says nothing


@dataclass(frozen=True)
class Scored:
    """An untrained network: what it is, what it costs, and what each proxy said, or why it said nothing."""

    architecture: Mapping[str, Any]
    fingerprint: str
    cost: Mapping[str, int]
    layers: Sequence[Mapping[str, Any]]
    scores: Mapping[str, float | str]


@dataclass(frozen=True)
class RankCorrelation:
    """How well a proxy ranks ``n`` trained trials by validation accuracy: 1 the same order, -1 the reverse.

    None where there are too few trials, or all have the same score or the same accuracy.
    """

    proxy: str
    n: int
    spearman: float | None
    kendall: float | None


def record_scores(store: "Store", run_id: int, fingerprint: str, scores: Mapping[str, float | str]) -> None:
    """Write down what proxies said of an architecture of the store: a score, or why there is none."""
    with store.writing() as connection:
        _write(connection, run_id, fingerprint, scores)


def record_candidates(store: "Store", run_id: int, candidates: Sequence[Scored]) -> None:
    """Write down candidates that may never be trained, with their scores: all or nothing."""
    with store.writing() as connection:
        for one in candidates:
            trial_writes.add_architecture(connection, one.fingerprint, one.architecture, one.cost, one.layers)
            _write(connection, run_id, one.fingerprint, one.scores)


def _write(connection: Any, run_id: int, fingerprint: str, scores: Mapping[str, float | str]) -> None:
    key = {"run_id": run_id, "fingerprint": fingerprint}
    rows = [{**key, "name": name, **_value(score)} for name, score in scores.items()]
    upsert(connection, schema.proxy_score, rows, update=("value", "reason"))


def _value(score: float | str) -> dict[str, float | str | None]:
    said = isinstance(score, str)
    return {"value": None if said else score, "reason": score if said else None}


def scores(store: Reading, run: str | int, name: str) -> dict[str, float | None]:
    """What the proxy ``name`` said of each architecture of the run, by fingerprint; None where it had a reason not to.

    >>> scores(store, "digits", "synflow")  # doctest: +SKIP
    {'3f2a...': 61.2, '9c01...': None}
    """
    with store.reading() as connection:
        run_id = run_id_of(connection, run)
        rows = connection.execute(select(_p.fingerprint, _p.value).where(_p.run_id == run_id, _p.name == name))
        return {row.fingerprint: row.value for row in rows}


def scores_of(store: Reading, run: str | int, fingerprint: str) -> dict[str, float | str]:
    """What each proxy said of one architecture: a score, or why there is none."""
    with store.reading() as connection:
        where = (_p.run_id == run_id_of(connection, run), _p.fingerprint == fingerprint)
        rows = connection.execute(select(_p.name, _p.value, _p.reason).where(*where).order_by(_p.name))
        return {row.name: row.reason if row.value is None else row.value for row in rows}


def ranked(store: Reading, run: str | int, name: str) -> list[dict[str, Any]]:
    """The architectures that the proxy scored, as JSON, the highest score first; ties by fingerprint."""
    a = schema.architecture.c
    with store.reading() as connection:
        where = (_p.run_id == run_id_of(connection, run), _p.name == name, _p.value.is_not(None))
        query = select(a.json).select_from(schema.proxy_score).join(schema.architecture).where(*where)
        return list(connection.scalars(query.order_by(_p.value.desc(), _p.fingerprint)))


def rank_correlations(store: Reading, run: str | int, trials: Sequence[Trial]) -> list[RankCorrelation]:
    """How well each proxy of the run ranks ``trials``: those trained to their end, none stopped early.

    Parameters and multiply-accumulates come first: they are the proxies that cost nothing.
    """
    ended = [trial for trial in trials if trial.state is TrialState.COMPLETED and trial.val_accuracy is not None]
    with store.reading() as connection:
        query = select(_p.name).where(_p.run_id == run_id_of(connection, run)).distinct().order_by(_p.name)
        names = [name for name in connection.scalars(query) if name not in FREE]
    found = [_correlation(name, ended, [getattr(trial, name) for trial in ended]) for name in FREE]
    for name in names:
        said = scores(store, run, name)
        found.append(_correlation(name, ended, [said.get(trial.fingerprint) for trial in ended]))
    return found


def _correlation(name: str, trials: Sequence[Trial], values: Sequence[float | None]) -> RankCorrelation:
    from scipy.stats import kendalltau, spearmanr

    pairs = [(v, trial.val_accuracy) for v, trial in zip(values, trials, strict=True) if v is not None]
    if len(pairs) < LEAST or any(len(set(column)) < 2 for column in zip(*pairs, strict=True)):
        return RankCorrelation(name, len(pairs), None, None)
    score, accuracy = zip(*pairs, strict=True)
    return RankCorrelation(
        name, len(pairs), float(spearmanr(score, accuracy).statistic), float(kendalltau(score, accuracy).statistic)
    )
