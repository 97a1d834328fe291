"""Engines: the way to a database that was checked to be a store."""

import json
from functools import partial
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, QueuePool, create_engine, event, insert, inspect, make_url, select
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from .errors import StoreError, store_error
from .schema import APPLICATION, SCHEMA_VERSION, identity, meta, metadata, suit_postgresql
from .sqlite_file import check_file, connect, make_file

_to_json = partial(json.dumps, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def open_engine(url_or_path: str | Path, *, create: bool, read_only: bool) -> tuple[Engine, str]:
    """An engine on the store at ``url_or_path`` and its name without password; ``StoreError`` where there is none."""
    url = _url(url_or_path)
    name = str(url.database) if url.get_backend_name() == "sqlite" else url.render_as_string()
    engine = _sqlite(url, create, read_only) if url.get_backend_name() == "sqlite" else _postgresql(url)
    try:
        _check_schema(engine, name, create)
    except BaseException:
        engine.dispose()
        raise
    return engine, name


def _url(url_or_path: str | Path) -> URL:
    if "://" not in str(url_or_path):
        return URL.create("sqlite", database=str(url_or_path))
    try:
        return make_url(str(url_or_path))
    except (ArgumentError, ValueError):
        # The text may hold a password: it is not repeated.
        raise StoreError("not a database URL; write sqlite:///PATH or postgresql+psycopg://HOST/NAME") from None


def _sqlite(url: URL, create: bool, read_only: bool) -> Engine:
    if not url.database or url.database == ":memory:":
        raise StoreError("a store in memory would be forgotten; give a path, such as runs/archsieve.db")
    path = Path(url.database)
    if create and not path.exists():
        make_file(path)
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


def _postgresql(url: URL) -> Engine:
    if url.get_backend_name() != "postgresql":
        raise StoreError(f"a store is SQLite or PostgreSQL, but got {url.render_as_string()}; give a path")
    try:
        return create_engine(url, pool_pre_ping=True, json_serializer=_to_json)
    except (ImportError, SQLAlchemyError) as error:
        raise StoreError(
            f"no driver for {url.drivername}: {error}; install one: pip install 'psycopg[binary]'"
        ) from None


def _check_schema(engine: Engine, name: str, create: bool) -> None:
    try:
        with engine.execution_options(reads=not create).begin() as connection:
            found = _identity(connection, name, create)
    except SQLAlchemyError as error:
        raise store_error(name, f"it cannot be opened: {getattr(error, 'orig', None) or error}") from error
    if found.get("application") != APPLICATION:
        raise StoreError(f"{name} is the database of another application; nothing was changed; give another")
    version = int(found.get("schema_version", 0))
    if version > SCHEMA_VERSION:
        raise StoreError(f"{name} has schema {version}, newer than the {SCHEMA_VERSION} known here; upgrade archsieve")
    if version < SCHEMA_VERSION:
        raise StoreError(f"{name} has schema {version}, older than {SCHEMA_VERSION}; run: archsieve db upgrade")


def _identity(connection: Connection, name: str, create: bool) -> dict[str, str]:
    tables = set(inspect(connection).get_table_names())
    if not tables:
        if not create:
            raise StoreError(f"{name} holds no results yet; start with: archsieve search FILE")
        if connection.dialect.name == "postgresql":
            suit_postgresql()
        metadata.create_all(connection)
        connection.execute(insert(meta), [{"key": key, "value": value} for key, value in identity().items()])
    elif meta.name not in tables:
        return {}
    return {row.key: row.value for row in connection.execute(select(meta))}
