"""Parser: a filter expression of ``results query``, read into a tree; errors put a caret under the spot."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lark import Lark, Token, Tree, UnexpectedToken

LONGEST = 2000  # characters of a question
DEEPEST = 40  # nested brackets and nots: a person's question has three
_SHOWN = 100  # characters of a question that an error repeats
_GRAMMAR = r"""
?question: conjunct (_OR conjunct)*
?conjunct: condition (_AND condition)*
?condition: negation | _OPEN question _CLOSE | comparison | absence | membership | likeness
negation: NOT condition
comparison: operand OPERATOR operand
absence: name _IS NOT? _NULL
membership: name NOT? _IN _OPEN value (_COMMA value)* _CLOSE
likeness: name NOT? _LIKE value
?operand: name | value
name: NAME | QUOTED
value: NUMBER | TEXT | TRUE | FALSE

NUMBER: /[+-]?([0-9][0-9_]*(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?[A-Za-z]*/
NAME: /[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z0-9_+-]+)*/
QUOTED: /`[^`]*`/
TEXT: /"[^"]*"|'[^']*'/
OPERATOR: /<=|>=|!=|==|<>|[=<>]/
_OPEN: "("
_CLOSE: ")"
_COMMA: ","
%declare _AND _OR NOT _IN _IS _NULL _LIKE TRUE FALSE
%ignore /\s+/
"""
# A keyword is a NAME until the lexer's callback gives it a type of its own: keywords have no case, names have.
_KEYWORDS = {
    **{word: f"_{word.upper()}" for word in ("and", "or", "in", "is", "null", "like")},
    **{word: word.upper() for word in ("not", "true", "false")},
}
_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_SAME = {"==": "=", "<>": "!="}
# What is expected where the parser accepts a terminal; the first one accepted decides, and without one only the end is.
_EXPECTED = {
    "_IN": "a column is followed by = != < <= > >= in, like, or is null",
    "OPERATOR": "a value is followed by a comparison: = != < <= > >=",
    "_NULL": "expected null, as in: fail_kind is null",
    "_COMMA": "expected a comma or a closing bracket",
    "_CLOSE": "expected and, or, or a closing bracket",
    "_OPEN": "expected an opening bracket, as in: state in ('completed', 'failed')",
}


@dataclass(frozen=True)
class Place:
    """A span of the question: from ``start`` up to ``end``."""

    start: int
    end: int


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


class QueryError(ValueError):
    """A question that cannot be understood, with a caret under the spot."""

    def __init__(self, text: str, place: Place, message: str) -> None:
        super().__init__(f"{message}\n{_pointed(text, place)}")
        self.place = place


def _pointed(text: str, place: Place) -> str:
    """The part of ``text`` around ``place``, and a line of carets under it."""
    first = max(0, place.start - _SHOWN // 2)
    shown = re.sub(r"\s", " ", text[first : first + _SHOWN])
    before, after = "..." if first else "", "..." if first + _SHOWN < len(text) else ""
    carets = max(1, min(place.end, first + _SHOWN) - place.start)
    return f"  {before}{shown}{after}\n  {' ' * (len(before) + place.start - first)}{'^' * carets}"


def parse(text: str) -> Node:
    """The tree of a question; :class:`QueryError` puts a caret under what is wrong with it."""
    from lark import UnexpectedCharacters, UnexpectedToken

    if len(text) > LONGEST:
        message = f"a question has at most {LONGEST:,} characters, but got {len(text):,}"
        raise QueryError(text, Place(0, 1), message)
    try:
        node: Node = _node(_parser().parse(text))
    except UnexpectedCharacters as error:
        at = error.pos_in_stream or 0
        raise QueryError(text, Place(at, at + 1), _stray(text[at])) from None
    except UnexpectedToken as error:
        raise QueryError(text, _place_of(text, error.token), _mistake(error)) from None
    except _RejectedTokenError as error:
        raise QueryError(text, _place_of(text, error.token), error.message) from None
    return node


@cache
def _parser() -> "Lark":
    # At the first question: import and tables take 50 ms (two cores, Python 3.11), for which no other command waits.
    from lark import Lark

    callbacks = {"NUMBER": _checked_number, "NAME": _keyword_or_name}
    return Lark(
        _GRAMMAR,
        start="question",
        parser="lalr",
        lexer="basic",
        postlex=_Nesting(),
        lexer_callbacks=callbacks,
        propagate_positions=True,
    )


class _RejectedTokenError(Exception):
    """A token that the grammar allows and the language does not; None stands for the end of the question."""

    def __init__(self, token: "Token | None", message: str) -> None:
        super().__init__(message)
        self.token, self.message = token, message


def _keyword_or_name(token: "Token") -> "Token":
    return token.update(type=_KEYWORDS.get(token.lower(), "NAME"))


def _checked_number(token: "Token") -> "Token":
    _number(token)
    return token


def _number(token: "Token") -> float | int:
    digits = token.rstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
    unit = token[len(digits) :]
    if unit not in _UNITS:
        near = next((known for known in _UNITS if known and known.lower() == unit.lower()), None)
        hint = f"; did you mean {digits}{near}?" if near else ""
        raise _RejectedTokenError(token, f"a number ends in k, M, G or T, or in nothing, but got {str(token)!r}{hint}")
    plain = digits.replace("_", "")
    if math.isinf(float(plain) * _UNITS[unit]):
        raise _RejectedTokenError(token, "a number must be finite")
    exact = Decimal(plain) * _UNITS[unit]
    return int(exact) if abs(exact) < 2**63 and exact == exact.to_integral_value() else float(exact)


class _Nesting:
    """Between lexer and parser: reads all tokens first, then counts how deep brackets and nots are nested.

    A question is compiled by recursion, so its depth is bounded here. A condition begins at the start, after "and",
    "or" and "not", and behind a bracket; a "not" ends with its condition.
    """

    always_accept = ()

    def process(self, stream: "Iterator[Token]") -> "Iterator[Token]":
        outer: list[int] = []  # the nots that are open around each open bracket
        nots, begins = 0, True
        for token in [*stream, None]:
            if begins and sum(outer) + len(outer) + nots >= DEEPEST:
                law = f"a question nests at most {DEEPEST} deep; write it flatter"
                raise _RejectedTokenError(token, f"{law}, {_got(token)}")
            if token is None:
                return
            if token.type == "_OPEN":
                outer.append(nots)
            elif token.type == "_CLOSE" and outer:
                outer.pop()
            nots = nots + 1 if begins and token.type == "NOT" else 0
            begins = token.type in ("_AND", "_OR") or (begins and token.type in ("NOT", "_OPEN"))
            yield token


def _place_of(text: str, token: "Token | None") -> Place:
    if token is None or token.type == "$END":
        return Place(len(text), len(text) + 1)
    return Place(token.start_pos or 0, token.end_pos or 0)


def _got(token: "Token | None") -> str:
    return "but the question ends" if token is None or token.type == "$END" else f"but got {str(token)!r}"


def _stray(character: str) -> str:
    if character in "\"'`":
        return f"a text that opens with {character} closes with {character}, but this one does not close"
    if character == ";":
        return "a question is one condition, and it ends here; for SQL there is: archsieve results sql"
    return f"unexpected {character!r}; write conditions such as: val_accuracy > 0.9 and params < 5M"


def _mistake(error: "UnexpectedToken") -> str:
    """What the parser expected instead of the token that it got."""
    accepted: Any = error.accepts
    before: Any = error.interactive_parser.parser_state.value_stack[-1:]
    kind = getattr(before[0], "type", "") if before else ""
    if "NAME" in accepted:
        expected = f"expected a column or a value{f' after {_same(before[0])}' if kind == 'OPERATOR' else ''}"
    elif "NUMBER" in accepted:
        expected = 'expected a text in quotes, as in "digits%"' if kind == "_LIKE" else "expected a value"
        if error.token.type in ("NAME", "QUOTED"):
            return f"{expected}; a text stands in quotes"
    else:
        known = (message for terminal, message in _EXPECTED.items() if terminal in accepted)
        expected = next(known, "expected and, or, or the end")
    return f"{expected}, {_got(error.token)}"


def _same(operator: str) -> str:
    return _SAME.get(operator, str(operator))


def _node(tree: "Tree[Token]") -> Any:
    """The node of ``tree``; that of a rule in brackets has the place of what is inside them."""
    place = Place(tree.meta.start_pos, tree.meta.end_pos)
    if tree.data == "name":
        return Name(_unquoted(tree.children[0]), place)
    if tree.data == "value":
        return Value(_value(tree.children[0]), place)
    parts: Any = [part if isinstance(part, str) else _node(part) for part in tree.children]
    if tree.data in ("question", "conjunct"):
        return Junction("or" if tree.data == "question" else "and", tuple(parts), place)
    if tree.data == "comparison":
        return Comparison(parts[0], _same(parts[1]), parts[2], place)
    if tree.data == "negation":
        return Negation(parts[1], place)
    name, *rest = parts
    operands = [part for part in rest if isinstance(part, Value)]
    negated = len(operands) < len(rest)
    if tree.data == "membership":
        return Membership(name, tuple(operands), negated, place)
    if tree.data == "likeness":
        return Likeness(name, operands[0], negated, place)
    return Absence(name, negated, place)


def _unquoted(token: Any) -> str:
    return str(token[1:-1] if token.type == "QUOTED" else token)


def _value(token: Any) -> float | int | str | bool:
    if token.type == "NUMBER":
        return _number(token)
    return str(token[1:-1]) if token.type == "TEXT" else bool(token.type == "TRUE")
