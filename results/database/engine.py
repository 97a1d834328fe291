"""Engines: the way to a database that was checked to be a store."""

import json
from functools import partial
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, QueuePool, create_engine, event, func, insert, inspect, select
from sqlalchemy.exc import SQLAlchemyError

from .errors import NoStoreError, NotStorableError, StoreError, store_error
from .schema import APPLICATION, SCHEMA_VERSION, identity, meta, metadata, suit_postgresql
from .sqlite_file import check_file, connect, make_file
from .url import Place, place_of

CONNECT_S = 10  # how long a server may take to answer
_CREATING = 0x41724356  # the advisory lock of PostgreSQL under which one of several creators makes the tables


def open_engine(url_or_path: str | Place, *, create: bool, read_only: bool) -> tuple[Engine, str]:
    """An engine on the store at ``url_or_path`` and its name without password; ``StoreError`` where there is none."""
    place = place_of(url_or_path)
    if isinstance(place, Path) and create and not place.exists():
        make_file(place)
    engine = sqlite_engine(place, read_only) if isinstance(place, Path) else postgresql_engine(place)
    try:
        check_version(schema_version(engine, str(place), create), str(place))
    except BaseException:
        engine.dispose()
        raise
    return engine, str(place)


def sqlite_engine(path: Path, read_only: bool) -> Engine:
    """An engine on the existing file ``path``, checked to be a store's."""
    check_file(path)
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        creator=partial(connect, path, read_only=read_only),
        poolclass=QueuePool,
        json_serializer=_to_json,
    )
    event.listen(engine, "begin", _begin)
    return engine


def _begin(connection: Connection) -> None:
    """Take the write lock at once where the transaction will write: a lock upgraded later can only fail."""
    reads = connection.get_execution_options().get("reads", False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def postgresql_engine(url: URL) -> Engine:
    """An engine on a PostgreSQL database; nothing is asked of it yet."""
    suit_postgresql()
    patience = {"connect_timeout": CONNECT_S, "application_name": APPLICATION}
    try:
        return create_engine(url, pool_pre_ping=True, json_serializer=_to_json, connect_args=patience)
    except (ImportError, SQLAlchemyError) as error:
        raise StoreError(
            f"no driver for {url.drivername}: {error}; install it: pip install 'archsieve[postgresql]'"
        ) from None


def _to_json(value: object) -> str:
    try:
        return json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise NotStorableError(error) from None


def reader(engine: Engine) -> Engine:
    """``engine`` for transactions that only read: each sees the database as it was at one moment."""
    if engine.dialect.name == "sqlite":
        return engine.execution_options(reads=True)
    return engine.execution_options(reads=True, isolation_level="REPEATABLE READ", postgresql_readonly=True)


def schema_version(engine: Engine, name: str, create: bool = False) -> int:
    """The schema of the store behind ``engine``, made first where there is none and ``create``."""
    try:
        with (engine if create else reader(engine)).begin() as connection:
            found = _identity(connection, name, create)
    except SQLAlchemyError as error:
        raise store_error(name, f"it cannot be opened: {getattr(error, 'orig', None) or error}") from error
    if found.get("application") != APPLICATION:
        raise StoreError(f"{name} is the database of another application; nothing was changed; give another")
    return int(found.get("schema_version", 0))


def check_version(version: int, name: str) -> None:
    """Raise ``StoreError`` where a store has another schema than this release."""
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"{name} has schema {version}, newer than the {SCHEMA_VERSION} known here; nothing was changed; "
            "upgrade archsieve: pip install --upgrade archsieve"
        )
    if version < SCHEMA_VERSION:
        raise StoreError(
            f"{name} has schema {version}, older than {SCHEMA_VERSION}; nothing was changed; "
            f"bring it up to date, a backup is made first: archsieve db upgrade --db {name}"
        )


def _identity(connection: Connection, name: str, create: bool) -> dict[str, str]:
    if create and connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_CREATING)))
    tables = set(inspect(connection).get_table_names())
    if not tables:
        if not create:
            raise NoStoreError(f"{name} holds no results yet; start with: archsieve search FILE")
        metadata.create_all(connection)
        connection.execute(insert(meta), [{"key": key, "value": value} for key, value in identity().items()])
    elif meta.name not in tables:
        return {}
    return {row.key: row.value for row in connection.execute(select(meta))}
