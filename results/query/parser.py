"""Grammar: the questions of ``results query``, read into a tree.

question   = conjunct { "or" conjunct }
conjunct   = condition { "and" condition }
condition  = "not" condition | "(" question ")" | operand relation
relation   = ("=" | "!=" | "<" | "<=" | ">" | ">=") operand
           | ["not"] "in" "(" value { "," value } ")"  | ["not"] "like" text  |  "is" ["not"] "null"
operand    = column | value
value      = number ["k" | "M" | "G" | "T"]  |  text in quotes  |  "true"  |  "false"
"""

from dataclasses import dataclass

from .tokenizer import Place, QueryError, Scanner

DEEPEST = 40  # nested brackets and nots: a person's question has three
_OPERATORS = frozenset({"=", "!=", "<", "<=", ">", ">="})


@dataclass(frozen=True)
class Name:
    """A column, as it was written."""

    name: str
    place: Place


@dataclass(frozen=True)
class Value:
    """A number, a text or a truth."""

    value: float | int | str | bool
    place: Place


@dataclass(frozen=True)
class Comparison:
    """``left operator right``."""

    left: Name | Value
    operator: str
    right: Name | Value
    place: Place


@dataclass(frozen=True)
class Membership:
    """``name [not] in (values)``."""

    name: Name
    values: tuple[Value, ...]
    negated: bool
    place: Place


@dataclass(frozen=True)
class Likeness:
    """``name [not] like pattern``; ``%`` stands for any text, ``_`` for any character."""

    name: Name
    pattern: Value
    negated: bool
    place: Place


@dataclass(frozen=True)
class Absence:
    """``name is [not] null``."""

    name: Name
    negated: bool
    place: Place


@dataclass(frozen=True)
class Negation:
    """``not part``."""

    part: "Node"
    place: Place


@dataclass(frozen=True)
class Junction:
    """``part and part ...``, or the same with ``or``."""

    word: str
    parts: tuple["Node", ...]
    place: Place


Node = Comparison | Membership | Likeness | Absence | Negation | Junction


def parse(text: str) -> Node:
    """The tree of a question; :class:`QueryError` puts a caret under what is wrong with it."""
    parser = _Parser(Scanner(text))
    node = parser.junction("or")
    parser.scan.end()
    return node


class _Parser:
    """Recursive descent: one method a rule."""

    def __init__(self, scan: Scanner) -> None:
        self.scan, self.depth = scan, 0

    def junction(self, word: str) -> Node:
        start = self.scan.here
        parts = [self._inner(word)]
        while self.scan.take_word(word):
            parts.append(self._inner(word))
        return parts[0] if len(parts) == 1 else Junction(word, tuple(parts), self.scan.since(start))

    def _inner(self, word: str) -> Node:
        return self.junction("and") if word == "or" else self._condition()

    def _condition(self) -> Node:
        start = self.scan.here
        self.depth += 1
        if self.depth > DEEPEST:
            raise self.scan.error(f"a question nests at most {DEEPEST} deep; write it flatter")
        if self.scan.take_word("not"):
            node: Node = Negation(self._condition(), self.scan.since(start))
        elif self.scan.take("("):
            node = self.junction("or")
            self.scan.expect(")", "and, or, or a closing bracket")
        else:
            node = self._relation()
        self.depth -= 1
        return node

    def _relation(self) -> Node:
        start = self.scan.here
        left = self._operand("a column or a value")
        operator = self.scan.take_any(_OPERATORS)
        if operator is not None:
            right = self._operand(f"a column or a value after {operator}")
            return Comparison(left, operator, right, self.scan.since(start))
        if isinstance(left, Value):
            raise self.scan.error("a value is followed by a comparison: = != < <= > >=")
        if self.scan.take_word("is"):
            negated = self.scan.take_word("not")
            self.scan.expect("null", "null, as in: fail_kind is null")
            return Absence(left, negated, self.scan.since(start))
        negated = self.scan.take_word("not")
        if self.scan.take_word("in"):
            return Membership(left, self._values(), negated, self.scan.since(start))
        if self.scan.take_word("like"):
            return Likeness(left, self._value('a text in quotes, as in "digits%"'), negated, self.scan.since(start))
        raise self.scan.error("a column is followed by = != < <= > >= in, like, or is null")

    def _values(self) -> tuple[Value, ...]:
        self.scan.expect("(", "an opening bracket, as in: state in ('completed', 'failed')")
        values = [self._value("a value")]
        while self.scan.take(","):
            values.append(self._value("a value"))
        self.scan.expect(")", "a comma or a closing bracket")
        return tuple(values)

    def _value(self, wanted: str) -> Value:
        operand = self._operand(wanted)
        if isinstance(operand, Name):
            raise QueryError(self.scan.text, operand.place, f"expected {wanted}; a text stands in quotes")
        return operand

    def _operand(self, wanted: str) -> Name | Value:
        token = self.scan.token
        if token.kind == "name":
            self.scan.advance()
            return Name(str(token.value), token.place)
        if token.kind in ("number", "text", "truth"):
            self.scan.advance()
            return Value(token.value, token.place)
        raise self.scan.error(f"expected {wanted}")
