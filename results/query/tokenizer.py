"""Scanning: a question cut into words, and errors that point at one of them."""

import math
import re
from collections.abc import Container
from dataclasses import dataclass
from decimal import Decimal

LONGEST = 2000  # characters of a question
_SHOWN = 100  # characters of it that an error repeats
_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_WORDS = frozenset({"and", "or", "not", "in", "is", "null", "like"})
_TOKEN = re.compile(
    r"""(?P<number>[+-]?(?:\d[\d_]*(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?(?P<unit>[A-Za-z]*))
      | (?P<name>[A-Za-z_]\w*(?:\.[\w+-]+)*)
      | `(?P<quoted>[^`]*)`
      | (?P<text>"[^"]*"|'[^']*')
      | (?P<sign><=|>=|!=|==|<>|[=<>(),])""",
    re.VERBOSE | re.ASCII,
)
_SAME = {"==": "=", "<>": "!="}


@dataclass(frozen=True)
class Place:
    """Where something stands in the question: from ``start`` up to ``end``."""

    start: int
    end: int


@dataclass(frozen=True)
class Token:
    """A word, a sign or a value; ``kind`` is number, text, truth, name, word, sign or end."""

    kind: str
    value: float | int | str | bool
    place: Place


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


def tokens(text: str) -> list[Token]:
    """The tokens of ``text``, the end among them."""
    if len(text) > LONGEST:
        raise QueryError(text, Place(0, 1), f"a question has at most {LONGEST:,} characters, but got {len(text):,}")
    found, at = [], 0
    while (at := _past_blanks(text, at)) < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise QueryError(text, Place(at, at + 1), _stray(text[at]))
        found.append(_token(text, match))
        at = match.end()
    return [*found, Token("end", "", Place(len(text), len(text) + 1))]


def _past_blanks(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def _stray(character: str) -> str:
    if character in "\"'`":
        return f"a text that opens with {character} closes with {character}, but this one does not close"
    if character == ";":
        return "a question is one condition, and it ends here; for SQL there is: archsieve results sql"
    return f"unexpected {character!r}; write conditions such as: val_accuracy > 0.9 and params < 5M"


def _token(text: str, match: re.Match[str]) -> Token:
    place = Place(*match.span())
    if match["number"] is not None:
        return Token("number", _number(text, match, place), place)
    if match["text"] is not None:
        return Token("text", match["text"][1:-1], place)
    if match["quoted"] is not None:
        return Token("name", match["quoted"], place)
    if match["sign"] is not None:
        return Token("sign", _SAME.get(match["sign"], match["sign"]), place)
    name = match["name"]
    if name.lower() in _WORDS:
        return Token("word", name.lower(), place)
    if name.lower() in ("true", "false"):
        return Token("truth", name.lower() == "true", place)
    return Token("name", name, place)


def _number(text: str, match: re.Match[str], place: Place) -> float | int:
    unit = match["unit"]
    if unit not in _UNITS:
        near = next((known for known in _UNITS if known and known.lower() == unit.lower()), None)
        hint = f"; did you mean {match['number'][: -len(unit)]}{near}?" if near else ""
        law = f"a number ends in k, M, G or T, or in nothing, but got {match['number']!r}{hint}"
        raise QueryError(text, place, law)
    digits = match["number"].removesuffix(unit).replace("_", "")
    if math.isinf(float(digits) * _UNITS[unit]):
        raise QueryError(text, place, "a number must be finite")
    exact = Decimal(digits) * _UNITS[unit]
    return int(exact) if abs(exact) < 2**63 and exact == exact.to_integral_value() else float(exact)


class Scanner:
    """The tokens of a question, taken one after the other."""

    def __init__(self, text: str) -> None:
        self.text, self._tokens, self._at = text, tokens(text), 0

    @property
    def token(self) -> Token:
        """The next token."""
        return self._tokens[self._at]

    @property
    def here(self) -> int:
        """Where the next token begins."""
        return self.token.place.start

    def since(self, start: int) -> Place:
        """From ``start`` to the end of the last token that was taken."""
        return Place(start, self._tokens[self._at - 1].place.end)

    def advance(self) -> None:
        """Take the next token."""
        self._at += 1

    def take(self, sign: str) -> bool:
        """Take ``sign`` where it comes next, and say whether it did."""
        return self.take_any({sign}) is not None

    def take_word(self, word: str) -> bool:
        """Take ``word`` where it comes next, and say whether it did."""
        found = (self.token.kind, self.token.value) == ("word", word)
        self._at += found
        return found

    def take_any(self, signs: Container[str]) -> str | None:
        """Take the sign that comes next where it is one of ``signs``."""
        token = self.token
        if token.kind != "sign" or token.value not in signs:
            return None
        self._at += 1
        return str(token.value)

    def expect(self, value: str, wanted: str) -> None:
        """Take the sign or word ``value``, or raise that ``wanted`` was expected."""
        if self.token.kind not in ("sign", "word") or self.token.value != value:
            raise self.error(f"expected {wanted}")
        self._at += 1

    def end(self) -> None:
        """Raise where something is left."""
        if self.token.kind != "end":
            raise self.error("expected and, or, or the end")

    def error(self, message: str) -> QueryError:
        """An error at the next token; ``message`` is the law."""
        token = self.token
        got = (
            "but the question ends"
            if token.kind == "end"
            else f"but got {self.text[token.place.start : token.place.end]!r}"
        )
        return QueryError(self.text, token.place, f"{message}, {got}")
