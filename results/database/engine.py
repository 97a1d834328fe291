"""SQLAlchemy engines: connect to a database and check that it is a results database of this schema."""

import json
from functools import partial
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, QueuePool, create_engine, event, func, insert, inspect, select
from sqlalchemy.exc import SQLAlchemyError

from .errors import NoStoreError, NotStorableError, StoreError, is_exhausted, store_error, unreachable
from .retry import RetryPolicy
from .schema import APPLICATION, SCHEMA_VERSION, enable_postgresql_partial_indexes, identity, meta, metadata
from .sqlite_file import check_file, connect, make_file
from .url import DatabaseLocation, parse_location

CONNECT_TIMEOUT_S = 10  # how long a PostgreSQL server may take to accept a connection
# Key of the PostgreSQL advisory lock under which the tables are created, so that of several processes that open an
# empty database together only one creates them.
_CREATE_LOCK_KEY = 0x41724356


def open_engine(url_or_path: str | DatabaseLocation, *, create: bool, read_only: bool) -> tuple[Engine, str]:
    """Return an engine for the results database at ``url_or_path``, and its name without the password.

    Waits while all connections of a server are in use. Raises ``StoreError`` if there is no results database, or if it
    has another schema version.
    """
    location = parse_location(url_or_path)
    if isinstance(location, Path) and create and not location.exists():
        make_file(location)
    engine = sqlite_engine(location, read_only) if isinstance(location, Path) else postgresql_engine(location)
    try:
        version = RetryPolicy(str(location)).call(lambda: schema_version(engine, str(location), create))
        check_version(version, str(location))
    except BaseException:
        # The caller gets no engine that it could close.
        engine.dispose()
        raise
    return engine, str(location)


def sqlite_engine(path: Path, read_only: bool) -> Engine:
    """Return an engine for the existing file ``path``; raise ``StoreError`` if it is not a results database."""
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
    """Begin a transaction, with the write lock unless the transaction only reads.

    A transaction that begins as a reader cannot wait for the write lock later: SQLite refuses the change if another
    connection has written in between.
    """
    reads = connection.get_execution_options().get("reads", False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def postgresql_engine(url: URL) -> Engine:
    """Return an engine for a PostgreSQL database, without connecting to it; raise ``StoreError`` without a driver."""
    enable_postgresql_partial_indexes()
    connect_args = {"connect_timeout": CONNECT_TIMEOUT_S, "application_name": APPLICATION}
    try:
        # pool_pre_ping replaces pooled connections that the server has closed, for example when it restarted.
        return create_engine(url, pool_pre_ping=True, json_serializer=_to_json, connect_args=connect_args)
    except (ImportError, SQLAlchemyError) as error:
        raise StoreError(
            f"no driver for {url.drivername}: {error}; install it: pip install 'archsieve[postgresql]'"
        ) from None


def _to_json(value: object) -> str:
    try:
        # Separators without spaces keep the rows short. allow_nan=False, because NaN and Infinity are not JSON and
        # PostgreSQL refuses them.
        return json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise NotStorableError(error) from None


def read_only_engine(engine: Engine) -> Engine:
    """Return ``engine`` with options for transactions that only read; each transaction sees one snapshot."""
    if engine.dialect.name == "sqlite":
        return engine.execution_options(reads=True)
    # PostgreSQL's default, READ COMMITTED, would show each statement a newer state of the database.
    return engine.execution_options(reads=True, isolation_level="REPEATABLE READ", postgresql_readonly=True)


def schema_version(engine: Engine, name: str, create: bool = False) -> int:
    """Return the schema version of the database behind ``engine``; create missing tables first if ``create``.

    Raises ``StoreError`` if the database cannot be opened or belongs to another application.
    """
    try:
        with (engine if create else read_only_engine(engine)).begin() as connection:
            entries = _identity(connection, name, create)
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error)
        if is_exhausted(reason):  # passes; a server that does not run, or a wrong host, probably does not
            raise unreachable(name, reason) from error
        raise store_error(name, f"it cannot be opened: {reason}") from error
    if entries.get("application") != APPLICATION:
        raise StoreError(
            f"{name} is the database of another application; nothing was changed; use another path or database name"
        )
    return int(entries.get("schema_version", 0))


def check_version(version: int, name: str) -> None:
    """Raise ``StoreError`` if ``version``, the schema of the database ``name``, is not that of this release."""
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"{name} has schema {version}, newer than schema {SCHEMA_VERSION} of this release; nothing was changed; "
            "upgrade archsieve: pip install --upgrade archsieve"
        )
    if version < SCHEMA_VERSION:
        raise StoreError(
            f"{name} has schema {version}, older than {SCHEMA_VERSION}; nothing was changed; "
            f"upgrade it (a backup is made first): archsieve db upgrade --db {name}"
        )


def _identity(connection: Connection, name: str, create: bool) -> dict[str, str]:
    """Return the rows of the table ``meta``; empty if the tables belong to another application."""
    if create and connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_CREATE_LOCK_KEY)))
    tables = set(inspect(connection).get_table_names())
    if not tables:
        if not create:
            raise NoStoreError(f"{name} holds no results yet; start with: archsieve search FILE")
        metadata.create_all(connection)
        connection.execute(insert(meta), [{"key": key, "value": value} for key, value in identity().items()])
    elif meta.name not in tables:
        return {}  # other tables, so the database of another application
    return {row.key: row.value for row in connection.execute(select(meta))}
