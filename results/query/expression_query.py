"""Asking: the trials that a question in words describes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func, select

from ...spaces.architectures.budget import format_count
from ..database import schema
from ..database.reader import Reading
from ..database.records import Trial
from ..database.rows import TRIALS, run_id_of, trials_of
from .columns import COLUMNS, JSON, NUMBER, Column, check_may_choose, column, joined
from .compiler import Conditions
from .parser import Comparison, Junction, Name, Node, Value, parse

PART = 10_000  # ids of one statement: databases take only so many values
_t = schema.trial.c
# Ties always break the same way.
_MERIT = (_t.val_accuracy.desc().nulls_last(), _t.params, _t.macs, _t.trial_id)


@dataclass(frozen=True)
class Answer:
    """The first trials that match, how many match in all, and where none does, what is missing."""

    trials: tuple[Trial, ...]
    matching: int
    why_none: str = ""


def ask(
    store: Reading, question: str, *, run: str | int | None = None, sort: str = "", top: int | None = None
) -> Answer:
    """The trials, in any state, for which ``question`` holds, such as ``val_accuracy > 0.9 and params < 5M``.

    ``sort`` is a column, with a leading ``-`` for the largest first; trials without that figure come last, and ties
    go to the higher validation accuracy, then fewer params, fewer macs, the lower id. Test accuracy neither sorts
    nor selects. A :class:`~archsieve.results.query.parser.QueryError` points at what is wrong with the question.
    """
    if top is not None and top < 1:
        raise ValueError(f"top must be at least 1, but got {top}")
    tree = parse(question)
    with store.reading() as connection:
        asked = _Asked(connection, question, run)
        chosen = asked.conditions.of(tree)
        order = _order(connection, sort)
        ids = asked.where(select(_t.trial_id), chosen, *order.columns).order_by(*order.keys).limit(top)
        found = list(connection.scalars(ids))
        parts = (found[place : place + PART] for place in range(0, len(found), PART))
        trials = [trial for part in parts for trial in trials_of(connection, TRIALS.where(_t.trial_id.in_(part)))]
        place = {trial_id: at for at, trial_id in enumerate(found)}
        ordered = tuple(sorted(trials, key=lambda trial: place[trial.trial]))
        matching = asked.count(chosen) if len(found) == top else len(found)
        return Answer(ordered, matching, "" if found else asked.why_none(tree))


@dataclass(frozen=True)
class _Order:
    keys: tuple[ColumnElement[Any], ...]
    columns: tuple[Column, ...]


def _order(connection: Connection, sort: str) -> _Order:
    name = sort.removeprefix("-")
    if not name:
        return _Order(_MERIT, ())
    check_may_choose([name])
    found = column(connection, name)
    kinds = (1.0, "") if found.holds == JSON else (1.0,)
    figures = [found.as_type(kind) for kind in kinds]
    keys = [(figure.desc() if sort.startswith("-") else figure.asc()).nulls_last() for figure in figures]
    return _Order((*keys, *_MERIT), (found,))


class _Asked:
    """A question put to a store."""

    def __init__(self, connection: Connection, question: str, run: str | int | None) -> None:
        self.connection, self.question, self.run = connection, question, run
        self.scope = [] if run is None else [_t.run_id == run_id_of(connection, run)]
        self.conditions = Conditions(connection, question)

    def where(self, query: Select[Any], *conditions: Any) -> Select[Any]:
        """``query`` narrowed to the scope and the conditions, with the tables that they need."""
        columns = [entry for entry in conditions if isinstance(entry, Column)]
        narrow = [entry for entry in conditions if not isinstance(entry, Column)]
        join = joined([*self.conditions.beside.values(), *columns])
        return query.where(*self.scope, *narrow, *([] if join is None else [join]))

    def count(self, *conditions: ColumnElement[bool]) -> int:
        """How many trials hold to ``conditions``."""
        query = self.where(select(func.count()).select_from(schema.trial), *conditions)
        return self.connection.scalar(query) or 0

    def counts(self, parts: Sequence[Node]) -> list[int]:
        """How many trials there are, and how many hold to each of ``parts``, which together no trial does."""
        if len(parts) == 1:
            return [self.count(), 0]
        each = [func.count().filter(self.conditions.of(part)) for part in parts]
        columns: list[ColumnElement[Any]] = [func.count(), *each]
        query = self.where(select(*columns).select_from(schema.trial))
        return list(self.connection.execute(query).one())

    def why_none(self, tree: Node) -> str:
        """``0 of 212 trials have params <= 5M; the smallest has 5.3M (trial 17)``."""
        parts = tree.parts if isinstance(tree, Junction) and tree.word == "and" else (tree,)
        total, *each = self.counts(parts)
        if total == 0:
            return "there are no trials yet" if self.run is None else f"run {self.run!r} has no trials yet"
        counts = list(zip(parts, each, strict=True))
        for part, count in counts:
            if count == 0:
                return f"0 of {total} trials have {self._words(part)}{self._nearest(part)}"
        shares = ", ".join(f"{count} have {self._words(part)}" for part, count in counts)
        return f"0 of {total} trials have all of it: {shares}"

    def _words(self, part: Node) -> str:
        return " ".join(self.question[part.place.start : part.place.end].split())

    def _nearest(self, part: Node) -> str:
        """``; the smallest has 5.3M (trial 17)``, for a bound on a figure."""
        if not isinstance(part, Comparison) or part.operator in ("=", "!="):
            return ""
        bounded = part.left if isinstance(part.right, Value) else part.right
        if not isinstance(bounded, Name) or isinstance(part.left, Name) == isinstance(part.right, Name):
            return ""
        name = bounded.name
        if name not in COLUMNS or COLUMNS[name].holds != NUMBER:
            return ""
        wants_small = ("<" in part.operator) == (bounded is part.left)
        found = COLUMNS[name]
        key = found.expression.asc() if wants_small else found.expression.desc()
        query = self.where(select(found.expression, _t.trial_id), found.expression.is_not(None), found)
        row = self.connection.execute(query.order_by(key, _t.trial_id).limit(1)).first()
        if row is None:
            return f"; none has {name}"
        return f"; the {'smallest' if wants_small else 'largest'} has {_figure(row[0])} (trial {row[1]})"


def _figure(value: float | int) -> str:
    """A figure in few digits where that loses nothing that matters: 5.3M, 0.9889, 1,370."""
    if isinstance(value, float):
        return f"{value:.6g}"
    return f"{value:,}" if abs(value) < 10**6 else format_count(value)
