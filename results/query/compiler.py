"""SQL compiler: turns the syntax tree of a filter expression into SQLAlchemy conditions and checks names and types."""

import operator as operators
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, literal, not_, or_, select

from ..database import schema
from .columns import JSON, NUMBER, TEXT, TIMESTAMP, Column, column
from .metric_columns import is_test_metric, unselectable
from .parser import (
    BooleanOperation,
    Comparison,
    LikeMatch,
    Membership,
    Name,
    Negation,
    Node,
    NullTest,
    QueryError,
    Value,
)

_r = schema.run.c
_OPERATORS = {
    "=": operators.eq,
    "!=": operators.ne,
    "<": operators.lt,
    "<=": operators.le,
    ">": operators.gt,
    ">=": operators.ge,
}
# The operator of the same comparison with its sides swapped: 5 < params is params > 5.
_MIRRORED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "=": "=", "!=": "!="}
_TYPE_NAMES = {bool: "true or false", str: "a text", int: "a number", float: "a number"}
_EXPECTED_VALUES = {
    NUMBER: "a number such as 0.9 or 5M",
    TEXT: "a text in quotes such as 'completed'",
    TIMESTAMP: "a UTC timestamp in quotes such as '2026-11-24' or '2026-11-24 12:30'",
}


class SqlCompiler:
    """Compiles the filter expression ``text`` for the database of ``connection``.

    ``used`` are the columns compiled so far. ``to_join`` are the columns whose tables must be joined to ``trial``.
    """

    def __init__(self, connection: Connection, text: str) -> None:
        self.connection, self.text = connection, text
        self.used: dict[str, Column] = {}
        self.to_join: dict[str, Column] = {}

    def compile(self, node: Node) -> ColumnElement[bool]:
        """Return the SQL condition of ``node``.

        Raises :class:`QueryError` with the position of an unknown name or a value of the wrong type.
        """
        match node:
            case BooleanOperation(word=word, parts=parts):
                return (and_ if word == "and" else or_)(*map(self.compile, parts))
            case Negation(part=part):
                return not_(self.compile(part))
            case NullTest(name=name, negated=negated):
                # The one condition in which test_accuracy is allowed: it asks whether the value exists.
                is_missing = self._resolve(name).is_missing
                return self._on_trials(name, not_(is_missing) if negated else is_missing)
            case LikeMatch(name=name, pattern=pattern, negated=negated):
                like = self._typed(name, pattern, "like").like(pattern.value)
                return self._on_trials(name, not_(like) if negated else like)
            case Membership(name=name, values=values, negated=negated):
                is_member = or_(*(self._typed(name, value, "in") == self._literal(name, value) for value in values))
                return self._on_trials(name, not_(is_member) if negated else is_member)
            case Comparison():
                return self._comparison(node)

    def _comparison(self, node: Comparison) -> ColumnElement[bool]:
        left, operator, right = node.left, node.operator, node.right
        if isinstance(left, Value):
            left, operator, right = right, _MIRRORED[operator], left
        if isinstance(left, Value):
            raise QueryError(
                self.text, node.span, "a comparison needs a column, but both sides are values; use a column name"
            )
        if isinstance(right, Value):
            condition = _apply(self._typed(left, right, operator), operator, self._literal(left, right))
            return self._on_trials(left, condition)
        first, second = self._selectable(left), self._selectable(right, "; put a text in quotes")
        # Two JSON values have no common type that the database could compare.
        if first.content != second.content or first.content == JSON:
            raise QueryError(
                self.text,
                node.span,
                f"two columns can be compared if both hold the same type, but {left.name} holds {first.content} and "
                f"{right.name} holds {second.content}; compare each with a value",
            )
        self.to_join |= {first.name: first, second.name: second}
        return _apply(first.expression, operator, second.expression)

    def _on_trials(self, name: Name, condition: ColumnElement[bool]) -> ColumnElement[bool]:
        """Return a condition on one column as a condition on trials.

        A condition on a column of the run becomes a subquery over the few runs, which is cheaper than a join that tests
        the condition for each of their trials.
        """
        resolved = self.used[name.name]
        if schema.run not in resolved.tables:
            self.to_join[resolved.name] = resolved
            return condition
        runs = select(_r.run_id).where(condition)
        if schema.dataset in resolved.tables:
            runs = runs.where(_r.dataset_hash == schema.dataset.c.content_hash)
        # correlate(None): the outer query can have the table run too, when its result is sorted by a column of the run
        return schema.trial.c.run_id.in_(runs.correlate(None))

    def _resolve(self, name: Name, hint: str = "") -> Column:
        """Return the column of ``name`` and record it in ``used``; ``hint`` is added to the error message."""
        try:
            resolved = column(self.connection, name.name)
        except ValueError as error:
            raise QueryError(self.text, name.span, f"{error}{hint}") from None
        self.used[resolved.name] = resolved
        return resolved

    def _selectable(self, name: Name, hint: str = "") -> Column:
        """Return the column of ``name``; raise :class:`QueryError` if it must not select trials."""
        resolved = self._resolve(name, hint)
        if is_test_metric(resolved.name):
            raise QueryError(self.text, name.span, unselectable(resolved.name))
        return resolved

    def _typed(self, name: Name, value: Value, operator: str) -> ColumnElement[Any]:
        """Return the expression of the column, read as the type of ``value``; raise if the types do not match."""
        resolved, value_type = self._selectable(name), type(value.value)
        matches = {
            NUMBER: value_type in (int, float),
            TEXT: value_type is str,
            TIMESTAMP: value_type is str and operator != "like",
        }
        if not matches.get(resolved.content, True):
            raise QueryError(
                self.text,
                value.span,
                f"{name.name} holds {resolved.content}, but got {_TYPE_NAMES[value_type]}; "
                f"use {_EXPECTED_VALUES[resolved.content]}",
            )
        if operator == "like" and value_type is not str:
            raise QueryError(self.text, value.span, 'like needs a text in quotes, such as "digits%"')
        return resolved.read_as(value.value)

    def _literal(self, name: Name, value: Value) -> ColumnElement[Any]:
        """Return ``value`` as an SQL literal; for a timestamp column the text is parsed, UTC if it has no time zone."""
        if self.used[name.name].content != TIMESTAMP:
            return literal(value.value)
        try:
            timestamp = datetime.fromisoformat(str(value.value))
        except ValueError:
            raise QueryError(
                self.text,
                value.span,
                f"{name.name} holds timestamps, but got {value.value!r}; use {_EXPECTED_VALUES[TIMESTAMP]}",
            ) from None
        aware = timestamp if timestamp.tzinfo else timestamp.replace(tzinfo=UTC)
        return literal(aware, self.used[name.name].expression.type)


def _apply(left: ColumnElement[Any], operator: str, right: ColumnElement[Any]) -> ColumnElement[bool]:
    return _OPERATORS[operator](left, right)  # type: ignore[no-any-return]
