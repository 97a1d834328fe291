"""The remembered: an iteration that is made once and can be gone through again."""

from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Remembered(Generic[T]):
    """``items`` from the first, as often as one likes; each is worked out once, and only when it is come to."""

    def __init__(self, items: Iterable[T]) -> None:
        self._known: list[T] = []
        self._coming = iter(items)

    def __iter__(self) -> Iterator[T]:
        place = 0
        while place < len(self._known) or self._come():
            yield self._known[place]
            place += 1

    def _come(self) -> bool:
        for item in self._coming:
            self._known.append(item)
            return True
        return False
