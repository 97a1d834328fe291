"""Schema: the tables of the results database.

Times are UTC. The costs are in ``architecture`` and again in ``trial``, so that one index answers which trial is best
under a budget. A metric that is not finite is NULL in ``metric.value``, and its name is in ``metric.special``.
"""

from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ColumnElement,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
)
from sqlalchemy.types import TypeDecorator

from .records import TrialState

APPLICATION = "archsieve"
APPLICATION_ID = 0x41724356  # "ArCV", in the header of an SQLite file
SCHEMA_VERSION = 3

metadata = MetaData()


class Utc(TypeDecorator[datetime]):
    """A point in time: with a time zone in Python, in UTC without a time zone in the database."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert to UTC and remove the time zone."""
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Add the time zone UTC."""
        return None if value is None else value.replace(tzinfo=UTC)


def _id(name: str) -> Column[int]:
    return Column(name, Integer, primary_key=True)


def _to(target: str, *, name: str | None = None, primary_key: bool = False, nullable: bool = False) -> Column[Any]:
    column = ForeignKey(target)
    return Column(name or target.split(".")[1], column, primary_key=primary_key, nullable=nullable)


# 64 bits, because MACs and bytes can exceed 2**31, the limit of PostgreSQL's INTEGER.
def _costs() -> list[Column[int]]:
    return [Column(name, BigInteger, nullable=False) for name in ("params", "macs", "activations", "memory_bytes")]


_partial_indexes: list[tuple[Index, ColumnElement[bool]]] = []


def _partial_index(name: str, *columns: Any, where: ColumnElement[bool], unique: bool = False) -> None:
    _partial_indexes.append((Index(name, *columns, unique=unique, sqlite_where=where), where))


def enable_postgresql_partial_indexes() -> None:
    """Set the conditions of the partial indexes for PostgreSQL.

    This is a function because the options import PostgreSQL's dialect, which takes 50 ms and which most processes do
    not need.
    """
    for index, where in _partial_indexes:
        index.dialect_options["postgresql"]["where"] = where


meta = Table(
    "meta",
    metadata,
    Column("key", String, primary_key=True),
    Column("value", String, nullable=False),
)

dataset = Table(
    "dataset",
    metadata,
    Column("content_hash", String, primary_key=True),
    Column("name", String, nullable=False),
    *(Column(name, Integer) for name in ("n_train", "n_val", "n_test", "n_classes")),
    # none_as_null: None becomes NULL instead of the JSON text null.
    Column("class_names", JSON(none_as_null=True)),
    Column("input_shape", JSON(none_as_null=True)),
    Column("split_seed", BigInteger),
)

run = Table(
    "run",
    metadata,
    _id("run_id"),
    Column("name", String, nullable=False, unique=True),
    Column("status", String, nullable=False),
    Column("config", JSON, nullable=False),
    Column("searcher", String, nullable=False),
    Column("seed", BigInteger, nullable=False),
    _to("dataset.content_hash", name="dataset_hash"),
    Column("version", String, nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("finished_at", Utc),
)

process = Table(
    "process",
    metadata,
    _id("process_id"),
    _to("run.run_id"),
    Column("host", String),
    Column("pid", Integer),
    Column("boot_id", String),
    Column("argv", JSON(none_as_null=True)),
    Column("git_commit", String),
    Column("git_dirty", Boolean),
    Column("versions", JSON(none_as_null=True)),
    Column("devices", JSON(none_as_null=True)),
    Column("other", JSON(none_as_null=True)),
    Column("started_at", Utc, nullable=False),
    Column("heartbeat_at", Utc, nullable=False),
    Column("ended_at", Utc),
    Column("end_reason", String),
)
# A run has at most one open process: the database itself refuses a second driver.
_partial_index("process_lease", process.c.run_id, where=process.c.ended_at.is_(None), unique=True)

architecture = Table(
    "architecture",
    metadata,
    Column("fingerprint", String, primary_key=True),
    Column("json", JSON, nullable=False),
    *_costs(),
    Column("depth", Integer),  # layers with multiply-accumulates
    Column("input_shape", JSON(none_as_null=True)),
)

layer = Table(
    "layer",
    metadata,
    _to("architecture.fingerprint", primary_key=True),
    Column("idx", Integer, primary_key=True),
    Column("name", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("out_shape", JSON, nullable=False),
    *(Column(name, BigInteger, nullable=False) for name in ("params", "macs", "activations")),
)

trial = Table(
    "trial",
    metadata,
    _id("trial_id"),
    _to("run.run_id"),
    Column("number", Integer, nullable=False),
    Column("state", String, nullable=False),
    _to("architecture.fingerprint"),
    Column("choices", JSON, nullable=False),
    Column("recipe", JSON, nullable=False),
    Column("seed", BigInteger, nullable=False),
    *_costs(),
    Column("epochs_done", Integer, nullable=False, default=0),
    Column("best_epoch", Integer),
    *(Column(name, Float) for name in ("val_accuracy", "val_loss", "train_accuracy", "train_loss", "test_accuracy")),
    Column("latency_ms", Float),  # the median of its last measurement
    Column("fail_kind", String),
    Column("reason", String),
    Column("created_at", Utc, nullable=False),
    Column("started_at", Utc),
    Column("ended_at", Utc),
    Column("device", String),
    Column("duration_s", Float),
    _to("trial.trial_id", name="source_trial_id", nullable=True),  # the trial whose result this one reuses, if any
    UniqueConstraint("run_id", "number"),  # two drivers cannot write the same number
    CheckConstraint(f"state IN ({', '.join(repr(s.value) for s in TrialState)})", name="trial_state"),
)
_scored = trial.c.val_accuracy.is_not(None)
# Best trial first, and every column that a budget or a filter reads, so that a query reads the index alone.
_ranking_columns = (
    trial.c.val_accuracy.desc(),
    *(trial.c[name] for name in ("params", "macs", "trial_id", "state", "run_id", "activations", "memory_bytes")),
    trial.c.latency_ms,
)
_partial_index("trial_merit", *_ranking_columns, where=_scored)
_partial_index("trial_merit_in_run", trial.c.run_id, *_ranking_columns, where=_scored)
# All columns that a filter query may use, except the JSON columns and ``reason``. A query on any other column than
# those of the indexes above reads this index from start to end, which is a fifth of the table's size.
SCAN_COLUMNS = (
    *("run_id", "trial_id", "state", "params", "macs", "val_accuracy", "epochs_done", "number", "activations"),
    *("memory_bytes", "latency_ms", "val_loss", "train_accuracy", "train_loss", "best_epoch", "duration_s", "seed"),
    *("fail_kind", "device", "source_trial_id", "created_at", "started_at", "ended_at", "fingerprint"),
)
Index("trial_scan", *(trial.c[name] for name in SCAN_COLUMNS))
Index("trial_fingerprint", trial.c.fingerprint)

attempt = Table(
    "attempt",
    metadata,
    _to("trial.trial_id", primary_key=True),
    Column("attempt", Integer, primary_key=True),
    *(Column(name, String) for name in ("node", "device")),
    Column("pid", Integer),
    Column("started_at", Utc, nullable=False),
    Column("heartbeat_at", Utc, nullable=False),
    Column("ended_at", Utc),
    Column("outcome", String),
)

# Exactly one of value and special is set; see rows.stored.
metric = Table(
    "metric",
    metadata,
    _to("trial.trial_id", primary_key=True),
    Column("name", String, primary_key=True),
    Column("step", Integer, primary_key=True),
    Column("value", Float),
    Column("special", String),
    CheckConstraint("(value IS NULL) = (special IS NOT NULL)", name="metric_value_or_special"),
    CheckConstraint("special IN ('nan', '+inf', '-inf')", name="metric_special"),
    sqlite_with_rowid=False,  # one B-tree in the order of the primary key, without a second index
)

measurement = Table(
    "measurement",
    metadata,
    _id("measurement_id"),
    _to("run.run_id"),
    _to("trial.trial_id", nullable=True),  # NULL: an untrained network that calibrates the latency predictor
    _to("architecture.fingerprint"),
    *(Column(name, String, nullable=False) for name in ("device", "machine", "torch", "precision")),
    *(Column(name, Integer, nullable=False) for name in ("batch_size", "threads", "warmup", "n")),
    *(Column(name, Float, nullable=False) for name in ("latency_ms_p50", "latency_ms_p90")),
    Column("peak_memory_bytes", BigInteger),
    Column("predicted_ms", Float),  # by a predictor that was not fitted on this network
    Column("measured_at", Utc, nullable=False),
)
Index("measurement_of_run", measurement.c.run_id, measurement.c.trial_id)

proxy_score = Table(
    "proxy_score",
    metadata,
    _to("run.run_id", primary_key=True),
    _to("architecture.fingerprint", primary_key=True),
    Column("name", String, primary_key=True),
    Column("value", Float),
    Column("reason", String),  # why there is no value
    CheckConstraint("(value IS NULL) = (reason IS NOT NULL)", name="proxy_value_or_reason"),
    sqlite_with_rowid=False,
)

artifact = Table(
    "artifact",
    metadata,
    _id("artifact_id"),
    _to("trial.trial_id"),
    Column("kind", String, nullable=False),
    Column("uri", String, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("sha256", String, nullable=False),
    Column("created_at", Utc, nullable=False),
    UniqueConstraint("trial_id", "kind", "uri"),
)

event = Table(
    "event",
    metadata,
    _id("event_id"),
    _to("run.run_id"),
    _to("trial.trial_id", nullable=True),
    Column("at", Utc, nullable=False),
    Column("level", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("detail", JSON, nullable=False),
)
Index("event_of_run", event.c.run_id, event.c.at)


def identity() -> dict[str, str]:
    """Return the entries of the table ``meta``: the application and the schema version."""
    return {"application": APPLICATION, "schema_version": str(SCHEMA_VERSION)}


def check_uri(uri: str) -> str:
    """Return ``uri`` if it is a relative path without ``..``, as ``artifact.uri`` needs; else raise ``ValueError``."""
    path = PurePosixPath(uri)
    # A backslash or a colon would make it another path, or a drive or a URL, on another system.
    if not uri or path.is_absolute() or ".." in path.parts or "\\" in uri or ":" in uri or "\0" in uri:
        raise ValueError(f"the path of an artifact must be relative, with '/' and without '..', but got {uri!r}")
    return uri
