"""Schema: the tables of the results database.

Times are UTC. Costs stand in ``architecture`` and again in ``trial``, so that the best under a budget is read from
one index. A figure that is no finite number is NULL in ``metric.value`` and named in ``metric.special``.
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
    """A moment: aware in Python, naive UTC in the database."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """The moment without its zone, in UTC."""
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """The moment with its zone."""
        return None if value is None else value.replace(tzinfo=UTC)


def _id(name: str) -> Column[int]:
    return Column(name, Integer, primary_key=True)


def _to(target: str, *, name: str | None = None, primary_key: bool = False, nullable: bool = False) -> Column[Any]:
    column = ForeignKey(target)
    return Column(name or target.split(".")[1], column, primary_key=primary_key, nullable=nullable)


def _costs() -> list[Column[int]]:
    return [Column(name, BigInteger, nullable=False) for name in ("params", "macs", "activations", "memory_bytes")]


_partials: list[tuple[Index, ColumnElement[bool]]] = []


def _partial(name: str, *columns: Any, where: ColumnElement[bool], unique: bool = False) -> None:
    _partials.append((Index(name, *columns, unique=unique, sqlite_where=where), where))


def suit_postgresql() -> None:
    """Make the partial indices partial on PostgreSQL too; its dialect takes 50 ms to import and is only now needed."""
    for index, where in _partials:
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
_partial("process_lease", process.c.run_id, where=process.c.ended_at.is_(None), unique=True)

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
    _to("trial.trial_id", name="source_trial_id", nullable=True),  # where its figures come from, if from another run
    UniqueConstraint("run_id", "number"),
    CheckConstraint(f"state IN ({', '.join(repr(s.value) for s in TrialState)})", name="trial_state"),
)
_scored = trial.c.val_accuracy.is_not(None)
# Best first, with every column that a budget or a filter reads: the answer never touches the table.
_merit = (
    trial.c.val_accuracy.desc(),
    *(trial.c[name] for name in ("params", "macs", "trial_id", "state", "run_id", "activations", "memory_bytes")),
    trial.c.latency_ms,
)
_partial("trial_merit", *_merit, where=_scored)
_partial("trial_merit_in_run", trial.c.run_id, *_merit, where=_scored)
# All that a question may ask of a trial but its JSON and its reason: a fifth of the table to be read through.
SCANNED = (
    *("run_id", "trial_id", "state", "params", "macs", "val_accuracy", "epochs_done", "number", "activations"),
    *("memory_bytes", "latency_ms", "val_loss", "train_accuracy", "train_loss", "best_epoch", "duration_s", "seed"),
    *("fail_kind", "device", "source_trial_id", "created_at", "started_at", "ended_at", "fingerprint"),
)
Index("trial_scan", *(trial.c[name] for name in SCANNED))
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
    sqlite_with_rowid=False,
)

measurement = Table(
    "measurement",
    metadata,
    _id("measurement_id"),
    _to("run.run_id"),
    _to("trial.trial_id", nullable=True),  # none: measured untrained, to calibrate the run's predictor
    _to("architecture.fingerprint"),
    *(Column(name, String, nullable=False) for name in ("device", "machine", "torch", "precision")),
    *(Column(name, Integer, nullable=False) for name in ("batch_size", "threads", "warmup", "n")),
    *(Column(name, Float, nullable=False) for name in ("latency_ms_p50", "latency_ms_p90")),
    Column("peak_memory_bytes", BigInteger),
    Column("predicted_ms", Float),  # by a predictor that had not seen this network
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
    """What ``meta`` says of a store: whose it is, and by which schema it was made."""
    return {"application": APPLICATION, "schema_version": str(SCHEMA_VERSION)}


def check_uri(uri: str) -> str:
    """Return ``uri`` if it can be stored in ``artifact.uri``: a relative path without ``..``; else ``ValueError``."""
    path = PurePosixPath(uri)
    if not uri or path.is_absolute() or ".." in path.parts or "\\" in uri or ":" in uri or "\0" in uri:
        raise ValueError(f"an artifact's path is relative, with '/' and without '..', but got {uri!r}")
    return uri
