"""Conditions: a question's tree turned into SQL expressions, every name and type checked."""

import operator as operators
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, literal, not_, or_, select

from ..database import schema
from .columns import FORBIDDEN, JSON, MOMENT, NUMBER, TEXT, WHY_FORBIDDEN, Column, column
from .parser import Absence, Comparison, Junction, Likeness, Membership, Name, Negation, Node, QueryError, Value

_r = schema.run.c
_RELATIONS = {
    "=": operators.eq,
    "!=": operators.ne,
    "<": operators.lt,
    "<=": operators.le,
    ">": operators.gt,
    ">=": operators.ge,
}
_MIRRORED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "=": "=", "!=": "!="}
_KINDS = {bool: "true or false", str: "a text", int: "a number", float: "a number"}
_WANTED = {
    NUMBER: "a number, as in 0.9 or 5M",
    TEXT: "a text in quotes, as in 'completed'",
    MOMENT: "a moment in quotes, as in '2026-11-24' or '2026-11-24 12:30', UTC",
}


class Conditions:
    """Translates the question ``text`` for the database of ``connection``.

    ``used`` are the columns met so far, ``beside`` those whose tables have to be joined to that of the trials.
    """

    def __init__(self, connection: Connection, text: str) -> None:
        self.connection, self.text = connection, text
        self.used: dict[str, Column] = {}
        self.beside: dict[str, Column] = {}

    def of(self, node: Node) -> ColumnElement[bool]:
        """The condition that ``node`` states; a :class:`QueryError` points at what is wrong with it."""
        match node:
            case Junction(word=word, parts=parts):
                return (and_ if word == "and" else or_)(*map(self.of, parts))
            case Negation(part=part):
                return not_(self.of(part))
            case Absence(name=name, negated=negated):
                absent = self._known(name).absent
                return self._placed(name, not_(absent) if negated else absent)
            case Likeness(name=name, pattern=pattern, negated=negated):
                like = self._typed(name, pattern, "like").like(pattern.value)
                return self._placed(name, not_(like) if negated else like)
            case Membership(name=name, values=values, negated=negated):
                found = or_(*(self._typed(name, value, "in") == self._literal(name, value) for value in values))
                return self._placed(name, not_(found) if negated else found)
            case Comparison():
                return self._comparison(node)

    def _comparison(self, node: Comparison) -> ColumnElement[bool]:
        left, operator, right = node.left, node.operator, node.right
        if isinstance(left, Value):
            left, operator, right = right, _MIRRORED[operator], left
        if isinstance(left, Value):
            raise QueryError(self.text, node.place, "a comparison names a column, but both sides are values")
        if isinstance(right, Value):
            related = _related(self._typed(left, right, operator), operator, self._literal(left, right))
            return self._placed(left, related)
        first, second = self._chooser(left), self._chooser(right, "; a text stands in quotes")
        if first.holds != second.holds or first.holds == JSON:
            law = f"two columns that hold the same can be compared, but {left.name} holds {first.holds}"
            raise QueryError(self.text, node.place, f"{law} and {right.name} {second.holds}")
        self.beside |= {first.name: first, second.name: second}
        return _related(first.expression, operator, second.expression)

    def _placed(self, name: Name, condition: ColumnElement[bool]) -> ColumnElement[bool]:
        """A condition on one column; where that is the run's, on the few runs instead of on each of their trials."""
        found = self.used[name.name]
        if schema.run not in found.tables:
            self.beside[found.name] = found
            return condition
        runs = select(_r.run_id).where(condition)
        if schema.dataset in found.tables:
            runs = runs.where(_r.dataset_hash == schema.dataset.c.content_hash)
        return schema.trial.c.run_id.in_(runs.correlate(None))  # the question may be sorted by the run

    def _known(self, name: Name, hint: str = "") -> Column:
        try:
            found = column(self.connection, name.name)
        except ValueError as error:
            raise QueryError(self.text, name.place, f"{error}{hint}") from None
        self.used[found.name] = found
        return found

    def _chooser(self, name: Name, hint: str = "") -> Column:
        """The column, where trials may be chosen by it."""
        found = self._known(name, hint)
        if found.name in FORBIDDEN:
            raise QueryError(self.text, name.place, WHY_FORBIDDEN)
        return found

    def _typed(self, name: Name, value: Value, operator: str) -> ColumnElement[Any]:
        """The expression of a column that can be set beside ``value``."""
        found, kind = self._chooser(name), type(value.value)
        fits = {NUMBER: kind in (int, float), TEXT: kind is str, MOMENT: kind is str and operator != "like"}
        if not fits.get(found.holds, True):
            law = f"{name.name} holds {found.holds} and is compared with {_WANTED[found.holds]}"
            raise QueryError(self.text, value.place, f"{law}, but got {_KINDS[kind]}")
        if operator == "like" and kind is not str:
            raise QueryError(self.text, value.place, 'like takes a text in quotes, as in "digits%"')
        return found.as_type(value.value)

    def _literal(self, name: Name, value: Value) -> ColumnElement[Any]:
        if self.used[name.name].holds != MOMENT:
            return literal(value.value)
        try:
            moment = datetime.fromisoformat(str(value.value))
        except ValueError:
            law = f"{name.name} is compared with {_WANTED[MOMENT]}"
            raise QueryError(self.text, value.place, f"{law}, but got {value.value!r}") from None
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return literal(aware, self.used[name.name].expression.type)


def _related(left: ColumnElement[Any], operator: str, right: ColumnElement[Any]) -> ColumnElement[bool]:
    return _RELATIONS[operator](left, right)  # type: ignore[no-any-return]
