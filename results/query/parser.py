"""Parser of the filter expressions of ``results query``; its errors mark the position with carets."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lark import Lark, Token, Tree, UnexpectedToken

MAX_CHARACTERS = 2000  # of a filter expression
# The compiler is recursive, so the nesting must be limited. Expressions typed by people have about three levels.
MAX_NESTING = 40
_MAX_QUOTED_CHARACTERS = 100  # of the expression, in an error message
_GRAMMAR = r"""
?expression: conjunction (_OR conjunction)*
?conjunction: condition (_AND condition)*
?condition: negation | _OPEN expression _CLOSE | comparison | null_test | membership | like_match
negation: NOT condition
comparison: operand OPERATOR operand
null_test: name _IS NOT? _NULL
membership: name NOT? _IN _OPEN value (_COMMA value)* _CLOSE
like_match: name NOT? _LIKE value
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
# The lexer reads a keyword as a NAME, and a callback then changes its token type. The grammar cannot do this, because
# keywords are case-insensitive and names are case-sensitive.
_KEYWORDS = {
    **{word: f"_{word.upper()}" for word in ("and", "or", "in", "is", "null", "like")},
    **{word: word.upper() for word in ("not", "true", "false")},
}
_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_OPERATOR_ALIASES = {"==": "=", "<>": "!="}
# The error message by the terminal that the parser would accept. The first accepted terminal of this table decides. If
# none of them is accepted, the expression can only continue with and, or, or end.
_EXPECTED = {
    "_IN": "after a column, expected = != < <= > >= in, like, or is null",
    "OPERATOR": "after a value, expected a comparison operator: = != < <= > >=",
    "_NULL": "expected null, such as in: fail_kind is null",
    "_COMMA": "expected a comma or a closing bracket",
    "_CLOSE": "expected and, or, or a closing bracket",
    "_OPEN": "expected an opening bracket, such as in: state in ('completed', 'failed')",
}


@dataclass(frozen=True)
class Span:
    """A range of characters of the filter expression: from ``start`` up to, but without, ``end``."""

    start: int
    end: int


@dataclass(frozen=True)
class Name:
    """The name of a column, as written in the expression."""

    name: str
    span: Span


@dataclass(frozen=True)
class Value:
    """A number, a text, or true or false."""

    value: float | int | str | bool
    span: Span


@dataclass(frozen=True)
class Comparison:
    """``left operator right``."""

    left: Name | Value
    operator: str
    right: Name | Value
    span: Span


@dataclass(frozen=True)
class Membership:
    """``name [not] in (values)``."""

    name: Name
    values: tuple[Value, ...]
    negated: bool
    span: Span


@dataclass(frozen=True)
class LikeMatch:
    """``name [not] like pattern``; ``%`` matches any text, ``_`` any single character."""

    name: Name
    pattern: Value
    negated: bool
    span: Span


@dataclass(frozen=True)
class NullTest:
    """``name is [not] null``."""

    name: Name
    negated: bool
    span: Span


@dataclass(frozen=True)
class Negation:
    """``not part``."""

    part: "Node"
    span: Span


@dataclass(frozen=True)
class BooleanOperation:
    """``part and part ...`` or ``part or part ...``; ``word`` is ``and`` or ``or``."""

    word: str
    parts: tuple["Node", ...]
    span: Span


Node = Comparison | Membership | LikeMatch | NullTest | Negation | BooleanOperation


class QueryError(ValueError):
    """An error in a filter expression. The message shows the expression with carets below ``span``."""

    def __init__(self, text: str, span: Span, message: str) -> None:
        super().__init__(f"{message}\n{_marked(text, span)}")
        self.span = span


def _marked(text: str, span: Span) -> str:
    """Return the part of ``text`` around ``span``, and a line of carets below the span."""
    first = max(0, span.start - _MAX_QUOTED_CHARACTERS // 2)
    # Line breaks and tabs would move the carets away from the span.
    shown = re.sub(r"\s", " ", text[first : first + _MAX_QUOTED_CHARACTERS])
    before, after = "..." if first else "", "..." if first + _MAX_QUOTED_CHARACTERS < len(text) else ""
    carets = max(1, min(span.end, first + _MAX_QUOTED_CHARACTERS) - span.start)
    return f"  {before}{shown}{after}\n  {' ' * (len(before) + span.start - first)}{'^' * carets}"


def parse(text: str) -> Node:
    """Return the syntax tree of a filter expression.

    Raises :class:`QueryError`, whose message marks the error with carets.
    """
    from lark import UnexpectedCharacters, UnexpectedToken

    if len(text) > MAX_CHARACTERS:
        message = (
            f"a filter expression must have at most {MAX_CHARACTERS:,} characters, got {len(text):,}; "
            "split it into several queries"
        )
        raise QueryError(text, Span(0, 1), message)
    try:
        node: Node = _node(_parser().parse(text))
    except UnexpectedCharacters as error:
        position = error.pos_in_stream or 0
        raise QueryError(text, Span(position, position + 1), _character_message(text[position])) from None
    except UnexpectedToken as error:
        raise QueryError(text, _span_of(text, error.token), _token_message(error)) from None
    except _RejectedTokenError as error:
        raise QueryError(text, _span_of(text, error.token), error.message) from None
    return node


@cache
def _parser() -> "Lark":
    # Created for the first expression only: the import and the parse tables take 50 ms (two cores, Python 3.11), which
    # would slow down every other command.
    from lark import Lark

    callbacks = {"NUMBER": _checked_number, "NAME": _keyword_or_name}
    return Lark(
        _GRAMMAR,
        start="expression",
        parser="lalr",
        lexer="basic",
        postlex=_NestingCheck(),
        lexer_callbacks=callbacks,
        propagate_positions=True,
    )


class _RejectedTokenError(Exception):
    """A token that the grammar allows but the language does not; ``token`` is None for the end of the expression."""

    def __init__(self, token: "Token | None", message: str) -> None:
        super().__init__(message)
        self.token, self.message = token, message


def _keyword_or_name(token: "Token") -> "Token":
    return token.update(type=_KEYWORDS.get(token.lower(), "NAME"))


def _checked_number(token: "Token") -> "Token":
    """Raise :class:`_RejectedTokenError` for an invalid number while its token, and so its position, is known."""
    _number(token)
    return token


def _number(token: "Token") -> float | int:
    """Return the value of a number with an optional unit; an int if it is whole and fits into 64 bits."""
    digits = token.rstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
    unit = token[len(digits) :]
    if unit not in _UNITS:
        nearest = next((known for known in _UNITS if known and known.lower() == unit.lower()), None)
        hint = f"; did you mean {digits}{nearest}?" if nearest else "; use a number such as 5M"
        raise _RejectedTokenError(token, f"a number must end in a digit or in k, M, G or T, got {str(token)!r}{hint}")
    plain = digits.replace("_", "")
    if math.isinf(float(plain) * _UNITS[unit]):
        raise _RejectedTokenError(token, f"a number must be finite, got {str(token)!r}; use a smaller number")
    # Decimal, because floating-point arithmetic is inexact: 1.001 * 1000 is 1000.9999999999999.
    exact = Decimal(plain) * _UNITS[unit]
    return int(exact) if abs(exact) < 2**63 and exact == exact.to_integral_value() else float(exact)


class _NestingCheck:
    """A step between lexer and parser that rejects expressions with more than ``MAX_NESTING`` brackets and "not".

    The compiler is recursive, so the depth of an expression has to be limited. A condition begins at the start of the
    expression, after "and", "or" and "not", and after an opening bracket. A "not" ends with its condition.
    """

    always_accept = ()

    def process(self, stream: "Iterator[Token]") -> "Iterator[Token]":
        """Yield the tokens of ``stream`` unchanged; raise :class:`_RejectedTokenError` at the first token too deep."""
        outer: list[int] = []  # for each open bracket: how many "not" are open around it
        nots, begins = 0, True
        # Read all tokens first, so that an unknown character is reported before errors of nesting and grammar.
        for token in [*stream, None]:
            if begins and sum(outer) + len(outer) + nots >= MAX_NESTING:
                raise _RejectedTokenError(
                    token,
                    f"a filter expression can nest at most {MAX_NESTING} levels of brackets and not, {_got(token)} "
                    f"at level {MAX_NESTING + 1}; write it with fewer levels",
                )
            if token is None:
                return
            if token.type == "_OPEN":
                outer.append(nots)
            elif token.type == "_CLOSE" and outer:
                outer.pop()
            nots = nots + 1 if begins and token.type == "NOT" else 0
            begins = token.type in ("_AND", "_OR") or (begins and token.type in ("NOT", "_OPEN"))
            yield token


def _span_of(text: str, token: "Token | None") -> Span:
    """Return the span of ``token``; for the end of the expression, one character after it."""
    if token is None or token.type == "$END":
        return Span(len(text), len(text) + 1)
    return Span(token.start_pos or 0, token.end_pos or 0)


def _got(token: "Token | None") -> str:
    return "but the expression ends" if token is None or token.type == "$END" else f"but got {str(token)!r}"


def _character_message(character: str) -> str:
    """Return the error message for a character that starts no token."""
    if character in "\"'`":
        return f"a text that opens with {character} must close with {character}; add the closing {character}"
    if character == ";":
        return "a filter expression is a single condition and has no ';'; for SQL use: archsieve results sql"
    return f"unexpected {character!r}; write conditions such as: val_accuracy > 0.9 and params < 5M"


def _token_message(error: "UnexpectedToken") -> str:
    """Return the error message for a token that the parser did not expect."""
    accepted: Any = error.accepts
    before: Any = error.interactive_parser.parser_state.value_stack[-1:]
    token_type = getattr(before[0], "type", "") if before else ""
    if "NAME" in accepted:
        after = f" after {_plain_operator(before[0])}" if token_type == "OPERATOR" else ""
        expected = f"expected a column or a value{after}"
    elif "NUMBER" in accepted:
        expected = 'expected a text in quotes, such as "digits%"' if token_type == "_LIKE" else "expected a value"
        # A name in place of a value is nearly always a text without quotes.
        if error.token.type in ("NAME", "QUOTED"):
            return f"{expected}, {_got(error.token)}; put a text in quotes"
    else:
        messages = (message for terminal, message in _EXPECTED.items() if terminal in accepted)
        expected = next(messages, "expected and, or, or the end")
    return f"{expected}, {_got(error.token)}"


def _plain_operator(operator: str) -> str:
    """Return ``operator`` without aliases: ``=`` for ``==``, ``!=`` for ``<>``."""
    return _OPERATOR_ALIASES.get(operator, str(operator))


def _node(tree: "Tree[Token]") -> Any:
    """Convert a Lark tree into a node. An expression in brackets has the span of the text inside the brackets."""
    span = Span(tree.meta.start_pos, tree.meta.end_pos)
    if tree.data == "name":
        return Name(_unquoted(tree.children[0]), span)
    if tree.data == "value":
        return Value(_value(tree.children[0]), span)
    parts: Any = [part if isinstance(part, str) else _node(part) for part in tree.children]
    if tree.data in ("expression", "conjunction"):
        return BooleanOperation("or" if tree.data == "expression" else "and", tuple(parts), span)
    if tree.data == "comparison":
        return Comparison(parts[0], _plain_operator(parts[1]), parts[2], span)
    if tree.data == "negation":
        return Negation(parts[1], span)
    # The other rules begin with a column. Apart from values, their only child is the token NOT.
    name, *rest = parts
    operands = [part for part in rest if isinstance(part, Value)]
    negated = len(operands) < len(rest)
    if tree.data == "membership":
        return Membership(name, tuple(operands), negated, span)
    if tree.data == "like_match":
        return LikeMatch(name, operands[0], negated, span)
    return NullTest(name, negated, span)


def _unquoted(token: Any) -> str:
    return str(token[1:-1] if token.type == "QUOTED" else token)


def _value(token: Any) -> float | int | str | bool:
    if token.type == "NUMBER":
        return _number(token)
    return str(token[1:-1]) if token.type == "TEXT" else bool(token.type == "TRUE")
