"""Random mutations of valid input: bytes, text, JSON values and command lines. Equal seeds give equal mutations."""

import copy
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

VALUES: Sequence[Any] = [
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 10**400, 0.5, -0.0, 1e308, float("nan"), float("inf"), float("-inf")),
    *("", "x", "auto", "x" * 100_000, "nul\0", "\ud800", "\x1b[2J", "../../etc", "/", "~", "1e999", "'", '"', "\\"),
    *([], [0], [1, 2], ["a", 3], [[[[]]]], [[]] * 50, {}, {"a": 1}, {"low": 2, "high": 1}, {"x": {"y": [None]}}),
]
TOKENS = [
    *("", " ", "(", ")", "((((", "'", '"', "=", "==", "!=", "<", ">", "and", "or", "not", "is null", "like", "%", "\\"),
    *(
        "-1",
        "0",
        "1e999",
        "9" * 400,
        "nan",
        "inf",
        "null",
        "true",
        ";",
        "--",
        "/*",
        "\0",
        "\n",
        "\ud800",
        "é",
        "💥",
        "#",
    ),
    *("[", "]", "{", "}", ",", ".", "..", "../..", "[[a]]", "x" * 5000, "(" * 2000, "select", "drop table trial"),
]


def mutated_bytes(content: bytes, rng: random.Random) -> bytes:
    """Return the content with one to three changes: bits, removed, repeated or inserted parts, or the end cut off."""
    changed = bytearray(content)
    for _ in range(rng.randint(1, 3)):
        start = rng.randrange(len(changed) + 1)
        end = min(len(changed), start + rng.choice([1, 1, 4, 64]))
        match rng.randrange(6):
            case 0 if start < len(changed):
                changed[start] ^= 1 << rng.randrange(8)
            case 1:
                del changed[start:end]
            case 2:
                changed[start:start] = changed[start:end] * rng.choice([1, 2, 100])
            case 3:
                changed[start:start] = rng.randbytes(rng.choice([1, 8, 64]))
            case 4:
                del changed[start:]
            case _:
                changed[start:end] = bytes(end - start)
    return bytes(changed)


def mutated_text(text: str, rng: random.Random) -> str:
    """Return the text with one to three changes: a token inserted, a part removed, repeated or exchanged."""
    for _ in range(rng.randint(1, 3)):
        start = rng.randrange(len(text) + 1)
        end = min(len(text), start + rng.choice([1, 2, 8, 40]))
        part = rng.choice([rng.choice(TOKENS), rng.choice(TOKENS), text[start:end] * 2, ""])
        text = text[:start] + part + text[rng.choice([start, end]) :]
    return text


def mutated_json(value: Any, rng: random.Random) -> Any:
    """Return a copy of a JSON value with one part exchanged, removed, repeated, or renamed."""
    changed = copy.deepcopy(value)
    parent, key = rng.choice(list(_parts(changed)))
    part = copy.deepcopy(rng.choice(VALUES))
    match rng.randrange(5):
        case 0:
            del parent[key]
        case 1 if isinstance(parent, list):
            parent[key:key] = [copy.deepcopy(parent[key])] * rng.choice([1, 3])
        case 1:
            parent[rng.choice(["", "a.b", f"{key}x", "x" * 300])] = parent.pop(key)
        case _:
            parent[key] = part
    return changed


def _parts(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each list or mapping inside ``value`` with each of its keys."""
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from _parts(value[key])


def mutated_arguments(arguments: Sequence[str], rng: random.Random) -> list[str]:
    """Return a command line with one to three arguments removed, repeated, moved, inserted or mutated."""
    changed = list(arguments)
    for _ in range(rng.randint(1, 3)):
        index = rng.randrange(len(changed) + 1)
        match rng.randrange(5):
            case 0:
                del changed[index : index + 1]
            case 1:
                changed[index:index] = changed[index : index + 1]
            case 2:
                rng.shuffle(changed)
            case 3:
                changed.insert(index, rng.choice([*TOKENS, "--json", "--db", "--top", "-o", "--help"]))
            case _:
                changed[index : index + 1] = [mutated_text(part, rng) for part in changed[index : index + 1]]
    # the operating system passes neither zero bytes nor lone surrogates that it did not decode itself
    return [part.replace("\0", "").replace("\ud800", "") for part in changed]


Mutate = Callable[[Any, random.Random], Any]
