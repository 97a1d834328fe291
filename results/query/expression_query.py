"""Filter queries: the trials for which a filter expression is true."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func, select

from ...spaces.architectures.budget import format_count
from ..database import schema
from ..database.reader import StoreReader
from ..database.records import Trial
from ..database.rows import IDS_PER_STATEMENT, TRIALS, run_id_of, trials_of
from .columns import JSON, NUMBER, Column, column, join_condition
from .compiler import SqlCompiler
from .metric_columns import TIES, check_selectable, ranked_by
from .parser import BooleanOperation, Comparison, Name, Node, Value, parse

_t = schema.trial.c


@dataclass(frozen=True)
class QueryResult:
    """The first matching trials, the number of all matching trials, and the reason if no trial matches."""

    trials: tuple[Trial, ...]
    matching: int
    no_match_reason: str = ""


def filter_trials(
    store: StoreReader, expression: str, *, run: str | int | None = None, sort: str = "", top: int | None = None
) -> QueryResult:
    """Return the trials, in any state, for which the filter expression ``expression`` is true.

    An example of an expression is ``val_accuracy > 0.9 and params < 5M``. At most ``top`` trials are returned. ``sort``
    is a column; a leading ``-`` sorts in descending order. Trials without a value in that column come last. Ties are
    broken by the best selecting metric of the runs, the fewest params, the fewest macs and the lowest id, which is also
    the order without ``sort``. Test metrics can neither sort nor select trials.

    Raises :class:`~archsieve.results.query.parser.QueryError`, which marks the error in the expression, and
    ``ValueError`` for an unknown run or sort column and for ``top`` below 1.
    """
    if top is not None and top < 1:
        raise ValueError(f"top must be at least 1, got {top}; use a number such as 20")
    tree = parse(expression)
    with store.read_transaction() as connection:
        query = _Query(connection, expression, run)
        condition = query.compiler.compile(tree)
        order = _order(connection, sort, query.scope)
        # Two steps: the first statement selects only ids, so that an index can answer it unless the expression uses the
        # recipe or the choices. Whole rows are then read for the returned trials alone.
        statement = query.narrow(select(_t.trial_id), condition, *order.columns).order_by(*order.keys).limit(top)
        ids = list(connection.scalars(statement))
        chunks = (ids[start : start + IDS_PER_STATEMENT] for start in range(0, len(ids), IDS_PER_STATEMENT))
        trials = [trial for chunk in chunks for trial in trials_of(connection, TRIALS.where(_t.trial_id.in_(chunk)))]
        position = {trial_id: index for index, trial_id in enumerate(ids)}
        ordered = tuple(sorted(trials, key=lambda trial: position[trial.trial]))
        # Fewer trials than top: these are all matching trials, and there is no need to count again.
        matching = query.count(condition) if len(ids) == top else len(ids)
        return QueryResult(ordered, matching, "" if ids else query.no_match_reason(tree))


@dataclass(frozen=True)
class _Order:
    """The sort keys of a query, and the columns whose tables the keys need."""

    keys: tuple[ColumnElement[Any], ...]
    columns: tuple[Column, ...]


def _order(connection: Connection, sort: str, scope: Sequence[ColumnElement[bool]]) -> _Order:
    name = sort.removeprefix("-")
    ranking = (ranked_by(connection, None, _of_runs(scope)).best_first.nulls_last(), *TIES)
    if not name:
        return _Order(ranking, ())
    check_selectable([name])
    sort_column = column(connection, name)
    # A recipe key can hold numbers and texts: sort by the numbers first, then by the texts.
    samples = (1.0, "") if sort_column.content == JSON else (1.0,)
    expressions = [sort_column.read_as(sample) for sample in samples]
    keys = [(each.desc() if sort.startswith("-") else each.asc()).nulls_last() for each in expressions]
    return _Order((*keys, *ranking), (sort_column,))


def _of_runs(scope: Sequence[ColumnElement[bool]]) -> list[ColumnElement[bool]]:
    """Return conditions on trials as a condition on their runs."""
    return [schema.run.c.run_id.in_(select(_t.run_id).where(*scope))] if scope else []


class _Query:
    """A filter expression on a database, limited to one run if ``run`` is given."""

    def __init__(self, connection: Connection, expression: str, run: str | int | None) -> None:
        self.connection, self.expression, self.run = connection, expression, run
        self.scope = [] if run is None else [_t.run_id == run_id_of(connection, run)]
        self.compiler = SqlCompiler(connection, expression)

    def narrow(self, statement: Select[Any], *conditions: Any) -> Select[Any]:
        """Return ``statement`` with the scope, ``conditions`` and the joins that they need.

        A :class:`Column` among ``conditions`` adds only the join of its tables.
        """
        columns = [entry for entry in conditions if isinstance(entry, Column)]
        where = [entry for entry in conditions if not isinstance(entry, Column)]
        join = join_condition([*self.compiler.to_join.values(), *columns])
        return statement.where(*self.scope, *where, *([] if join is None else [join]))

    def count(self, *conditions: ColumnElement[bool]) -> int:
        """Return the number of trials that meet ``conditions``."""
        statement = self.narrow(select(func.count()).select_from(schema.trial), *conditions)
        return self.connection.scalar(statement) or 0

    def counts(self, parts: Sequence[Node]) -> list[int]:
        """Return the number of all trials, then for each of ``parts`` the number of trials that meet it.

        Called only when no trial meets all parts, so a single part has the count 0. All counts come from one statement,
        which reads the trials once.
        """
        if len(parts) == 1:
            return [self.count(), 0]
        part_counts = [func.count().filter(self.compiler.compile(part)) for part in parts]
        columns: list[ColumnElement[Any]] = [func.count(), *part_counts]
        statement = self.narrow(select(*columns).select_from(schema.trial))
        return list(self.connection.execute(statement).one())

    def no_match_reason(self, tree: Node) -> str:
        """Explain why no trial matches: ``0 of 212 trials have params <= 5M; the smallest has 5.3M (trial 17)``."""
        parts = tree.parts if isinstance(tree, BooleanOperation) and tree.word == "and" else (tree,)
        total, *part_counts = self.counts(parts)
        if total == 0:
            return "there are no trials yet" if self.run is None else f"run {self.run!r} has no trials yet"
        counts = list(zip(parts, part_counts, strict=True))
        for part, count in counts:
            if count == 0:
                return f"0 of {total} trials have {self._text(part)}{self._nearest_miss(part)}"
        shares = ", ".join(f"{count} have {self._text(part)}" for part, count in counts)
        return f"0 of {total} trials meet all conditions: {shares}"

    def _text(self, part: Node) -> str:
        """Return the text of ``part`` in the expression, with single spaces."""
        return " ".join(self.expression[part.span.start : part.span.end].split())

    def _nearest_miss(self, part: Node) -> str:
        """Return ``; the smallest has 5.3M (trial 17)`` if ``part`` is a bound on a number, else an empty text."""
        if not isinstance(part, Comparison) or part.operator in ("=", "!="):
            return ""
        bounded = part.left if isinstance(part.right, Value) else part.right
        if not isinstance(bounded, Name) or isinstance(part.left, Name) == isinstance(part.right, Name):
            return ""
        name = bounded.name
        bounded_column = self.compiler.used[name]
        if bounded_column.content != NUMBER:
            return ""
        # "params < 5" and "5 > params" both ask for small values
        wants_small = ("<" in part.operator) == (bounded is part.left)
        key = bounded_column.expression.asc() if wants_small else bounded_column.expression.desc()
        has_value = bounded_column.expression.is_not(None)
        statement = self.narrow(select(bounded_column.expression, _t.trial_id), has_value, bounded_column)
        row = self.connection.execute(statement.order_by(key, _t.trial_id).limit(1)).first()
        if row is None:
            return f"; no trial has a value for {name}"
        return f"; the {'smallest' if wants_small else 'largest'} has {_format_value(row[0])} (trial {row[1]})"


def _format_value(value: float | int) -> str:
    """Format a number with few digits: 5.3M, 0.9889, 1,370. Integers below a million are written in full."""
    if isinstance(value, float):
        return f"{value:.6g}"
    return f"{value:,}" if abs(value) < 10**6 else format_count(value)
