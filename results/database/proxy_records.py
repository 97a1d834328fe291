"""Proxy scores: what untrained networks scored in a run, and how well that ranks the trained ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import insert, select

from . import schema, trial_statements
from .lease import now
from .reader import Reading
from .records import Trial, TrialState
from .rows import run_id_of, upsert
from .writer import Writing

_p = schema.proxy_score.c
FREE = ("params", "macs")  # proxies that every trial has
WARMED_UP = "warmed_up"  # the event that keeps a run's choice of candidates
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


def record_scores(store: Writing, run_id: int, fingerprint: str, scores: Mapping[str, float | str]) -> None:
    """Write down what proxies said of an architecture of the store: a score, or why there is none."""
    with store.writing() as connection:
        _write(connection, run_id, fingerprint, scores)


def record_warm_up(
    store: Writing, run_id: int, proxy: str, candidates: Sequence[Scored], train: int
) -> list[dict[str, Any]]:
    """Write down the candidates of a run's warm-up with their scores, and choose the ``train`` best, all or nothing.

    Returns the chosen ones as JSON, the highest score by ``proxy`` first and ties by fingerprint; what has no score is
    not chosen.
    """
    usable = [one for one in candidates if not isinstance(one.scores[proxy], str)]
    chosen = sorted(usable, key=lambda one: (-float(one.scores[proxy]), one.fingerprint))[:train]
    detail = {
        "proxy": proxy,
        "candidates": len(candidates),
        "scored": len(usable),
        "chosen": [one.fingerprint for one in chosen],
    }
    event = {"run_id": run_id, "level": "info", "kind": WARMED_UP, "detail": detail, "at": now()}
    with store.writing() as connection:
        for one in candidates:
            trial_statements.add_architecture(connection, one.fingerprint, one.architecture, one.cost, one.layers)
            _write(connection, run_id, one.fingerprint, one.scores)
        connection.execute(insert(schema.event).values(**event))
    return [dict(one.architecture) for one in chosen]


def warmed_up(store: Reading, run: str | int) -> list[dict[str, Any]] | None:
    """What :func:`record_warm_up` chose, or None where the run had no warm-up yet."""
    a = schema.architecture.c
    told = store.events(run, WARMED_UP)
    if not told:
        return None
    chosen = told[-1]["detail"]["chosen"]
    with store.reading() as connection:
        rows = connection.execute(select(a.fingerprint, a.json).where(a.fingerprint.in_(chosen)))
        found = {row.fingerprint: row.json for row in rows}
    return [found[fingerprint] for fingerprint in chosen]


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
