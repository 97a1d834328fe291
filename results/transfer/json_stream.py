"""Reading of a JSON file value by value: an export of any size takes little memory."""

import json
from collections.abc import Iterator
from typing import Any, TextIO

_CHUNK = 2**16  # characters read at once
MAX_VALUE = 2**26  # characters of one value that is decoded as a whole, such as a row

_decode = json.JSONDecoder().raw_decode
_SPACE = " \t\n\r"


class JsonReader:
    """The values of a JSON text, in the order of the file.

    The caller consumes each member and each element with :meth:`value`, :meth:`members` or :meth:`elements`. Raises
    ``ValueError`` where the text is not JSON.
    """

    def __init__(self, file: TextIO) -> None:
        self._file, self._text, self._at, self._ended = file, "", 0, False

    def peek(self) -> str:
        """Return the next character that is no space without consuming it; an empty text at the end."""
        while True:
            while self._at < len(self._text):
                if self._text[self._at] not in _SPACE:
                    return self._text[self._at]
                self._at += 1
            if self._ended:
                return ""
            self._read()

    def value(self) -> Any:
        """Decode the next value as a whole."""
        self.peek()
        while True:
            try:
                value, end = _decode(self._text, self._at)
            except json.JSONDecodeError:
                if self._ended:
                    raise
            else:
                # a number at the end of what was read may continue
                if end < len(self._text) or self._ended:
                    self._at = end
                    return value
            if len(self._text) - self._at > MAX_VALUE:
                raise ValueError(f"a value must have at most {MAX_VALUE:,} characters")
            self._read()

    def members(self) -> Iterator[str]:
        """Yield the key of each member of the next object; the caller consumes the value."""
        for _ in self._entries("{", "}"):
            key = self.value()
            if not isinstance(key, str):
                raise ValueError(f"a key must be a text, got {str(key)[:60]}")
            self._take(":")
            yield key

    def elements(self) -> Iterator[None]:
        """Yield once for each element of the next array; the caller consumes the element."""
        return self._entries("[", "]")

    def _entries(self, opening: str, closing: str) -> Iterator[None]:
        self._take(opening)
        if self.peek() != closing:
            yield
            while self.peek() == ",":
                self._take(",")
                yield
        self._take(closing)

    def _take(self, character: str) -> None:
        if (found := self.peek()) != character:
            raise ValueError(f"expected {character!r}, got {found!r}")
        self._at += 1

    def _read(self) -> None:
        # as much as is waiting, at least: a long value is decoded few times
        chunk = self._file.read(max(_CHUNK, len(self._text) - self._at))
        self._ended = not chunk
        self._text, self._at = self._text[self._at :] + chunk, 0
