"""The schema of imported values: what each column of a run document may hold.

A document from elsewhere is checked completely before a row of it is written.
"""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

from sqlalchemy import JSON, BigInteger, Float, Integer, Table

from ..analysis.health import FINDING
from ..database import schema
from ..database.latency_records import CALIBRATED, PREDICTED
from ..database.proxy_records import WARMUP_SELECTED
from ..database.records import PREDICTIONS
from ..database.training_records import AUGMENTATION, LR_FOUND
from ..database.zero_shot_records import EXPLAINED, MODEL_TESTED, NOT_TESTED, TESTED

MAX_DEPTH = 40  # nested lists and tables of a JSON value
MAX_TEXT = 10**6  # characters of one text
_MAX_SHOWN = 60  # characters of a value in a message
_BITS = {Integer: 31, BigInteger: 63}


def check_value(table: Table, name: str, value: Any) -> Any:
    """Return ``value`` with the type of the column ``name``; raise ``ValueError`` if it does not fit."""
    column, label = table.c[name], f"{table.name}.{name}"
    if value is None:
        return value
    if isinstance(column.type, JSON):
        _check_json(label, value)
        if (table.name, name) in _shapes():
            _check_shape(label, _shapes()[table.name, name], value)
        return value
    if isinstance(column.type, schema.Utc):
        return _timestamp(label, value)
    expected = _python_type(column.type)
    # Other programs can write the float 1.0 as 1 in JSON. A bool is an int in Python, but not in the database.
    matches = isinstance(value, expected) or (expected is float and isinstance(value, int))
    if not matches or (isinstance(value, bool) and expected is not bool):
        raise ValueError(f"{label} must be of type {expected.__name__}, got {shown(value)}")
    _check_scalar(label, value, _BITS[BigInteger if isinstance(column.type, BigInteger) else Integer])
    return value


def check_event(kind: str, detail: Any) -> None:
    """Raise ``ValueError`` if ``detail`` is not what events of this kind have; other kinds may have any JSON value."""
    if kind in _event_shapes():
        _check_shape(f"event.detail of the kind {kind}", _event_shapes()[kind], detail)


def shown(value: Any) -> str:
    """Return the ``repr`` of a value, cut to a length that fits into a message."""
    # repr of a huge number is slow and of a nested list may recurse too deeply
    if isinstance(value, int) and value.bit_length() > 256:
        return "a very large number"
    if isinstance(value, str):
        return repr(value) if len(value) <= _MAX_SHOWN else f"{value[:_MAX_SHOWN]!r}..."
    return repr(value) if isinstance(value, int | float | None) else f"a {type(value).__name__}"


def _python_type(kind: Any) -> type:
    if isinstance(kind, Integer | BigInteger):
        return int
    if isinstance(kind, Float):
        return float
    python_type: type = kind.python_type
    return python_type


def _check_json(label: str, value: Any, depth: int = 0) -> None:
    if depth > MAX_DEPTH:
        raise ValueError(f"{label} must be nested at most {MAX_DEPTH} levels deep, got more")
    if isinstance(value, Mapping):
        for key, entry in value.items():
            if not isinstance(key, str):
                raise ValueError(f"{label} must have texts as keys, got {shown(key)}")
            _check_scalar(label, key)
            _check_json(label, entry, depth + 1)
    elif isinstance(value, list):
        for entry in value:
            _check_json(label, entry, depth + 1)
    elif isinstance(value, str | int | float):
        _check_scalar(label, value)
    elif value is not None:
        raise ValueError(f"{label} must be a JSON value, got {shown(value)}")


def _check_scalar(label: str, value: Any, bits: int = _BITS[BigInteger]) -> None:
    if isinstance(value, bool):
        return
    if isinstance(value, int) and not -(2**bits) <= value < 2**bits:
        raise ValueError(f"{label} must be an integer of at most {bits + 1} bits, got {shown(value)}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{label} must be a finite number, got {value}")
    if not isinstance(value, str):
        return
    if len(value) > MAX_TEXT:
        raise ValueError(f"{label} must have at most {MAX_TEXT:,} characters, got {len(value):,}")
    # A lone surrogate is no character of UTF-8, and PostgreSQL stores no zero byte in a text.
    if "\0" in value or (not value.isascii() and any(0xD800 <= ord(character) < 0xE000 for character in value)):
        raise ValueError(f"{label} must be text without zero bytes and lone surrogates, got {shown(value)}")


def _timestamp(label: str, value: Any) -> datetime:
    try:
        timestamp = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise ValueError(f"{label} must be a timestamp in ISO 8601 format, got {shown(value)}") from None
    if timestamp.tzinfo is None:
        raise ValueError(f"{label} must be a timestamp with a time zone, got {shown(value)}; add one such as +00:00")
    try:
        timestamp.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{label} must be a timestamp between the years 1 and 9999, got {shown(value)}") from None
    return timestamp


def _check_shape(label: str, adapter: Any, value: Any) -> None:
    from pydantic import ValidationError

    try:
        adapter.validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = "".join(f"[{part!r}]" for part in first["loc"])[:_MAX_SHOWN]
        raise ValueError(f"{label}{where} is not valid: {first['msg'][:200]}") from None


@cache
def _shapes() -> dict[tuple[str, str], Any]:
    """Return the shapes of JSON columns: pydantic type adapters, whose import takes time that other commands save."""
    from pydantic import StrictInt, StrictStr

    texts, counts, table = list[StrictStr], list[StrictInt], dict[StrictStr, Any]
    shapes = {
        ("dataset", "class_names"): texts,
        ("dataset", "input_shape"): counts,
        ("process", "argv"): texts,
        ("process", "versions"): dict[StrictStr, StrictStr | None],
        ("process", "other"): table,
        ("architecture", "json"): table,
        ("architecture", "input_shape"): counts,
        ("layer", "out_shape"): counts,
        ("trial", "choices"): table,
        ("trial", "recipe"): table,
        ("run", "config"): table,
    }
    return {column: _adapter(shape) for column, shape in shapes.items()}


@cache
def _event_shapes() -> dict[str, Any]:
    from pydantic import StrictFloat, StrictInt, StrictStr, create_model

    number, table = StrictInt | StrictFloat, dict[StrictStr, Any]
    fields: dict[str, dict[str, Any]] = {
        FINDING: {FINDING: StrictStr, "reason": StrictStr},
        LR_FOUND: {"lr": number, "tries": list[Any]},
        AUGMENTATION: {"batch_ms": number, "batch_size": StrictInt, "device": StrictStr},
        WARMUP_SELECTED: {
            **{"proxy": StrictStr, "candidates": StrictInt, "scored": StrictInt},
            "chosen": list[StrictStr],
        },
        TESTED: {"trial": StrictInt, "rows": list[dict[StrictStr, Any]]},
        NOT_TESTED: {"trial": StrictInt, "reason": StrictStr},
        MODEL_TESTED: {
            **{"trial": StrictInt, "model": StrictStr, "words": StrictInt, "scores": table},
            "classes": list[table],  # type: ignore[valid-type]
        },
        PREDICTIONS: {**dict.fromkeys(("n_images", "n", "n_classes"), StrictInt), "data": StrictStr},
    }
    models: dict[str, Any] = {
        kind: create_model(f"detail_{kind}", **{name: (shape, ...) for name, shape in entries.items()})  # type: ignore[call-overload]
        for kind, entries in fields.items()
    }
    tables = dict.fromkeys((CALIBRATED, PREDICTED, EXPLAINED), table)
    return {kind: _adapter(shape) for kind, shape in {**models, **tables}.items()}


def _adapter(shape: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(shape)
