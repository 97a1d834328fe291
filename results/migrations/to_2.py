"""Migration from schema 1 to 2: latency measurements, proxy scores, and trials that reuse an earlier result."""

import sqlalchemy as sa
from alembic import op

revision = "2"
down_revision = None  # schema 1 was the first schema

_RANKING_COLUMNS = "val_accuracy DESC, params, macs, trial_id, state, run_id, activations, memory_bytes, latency_ms"


def upgrade() -> None:
    """Add columns and tables, and replace the two ranking indexes; existing rows do not change."""
    op.add_column("trial", sa.Column("latency_ms", sa.Float))
    source = sa.Column("source_trial_id", sa.Integer, sa.ForeignKey("trial.trial_id"))
    op.add_column("trial", source, inline_references=True)
    _measurement()
    _proxy_score()
    # The two indexes get the new column latency_ms. An index cannot be altered, so it is dropped and created again.
    for name, first in (("trial_merit", ""), ("trial_merit_in_run", "run_id, ")):
        op.drop_index(name, table_name="trial")
        op.execute(f"CREATE INDEX {name} ON trial ({first}{_RANKING_COLUMNS}) WHERE val_accuracy IS NOT NULL")


def _measurement() -> None:
    op.create_table(
        "measurement",
        sa.Column("measurement_id", sa.Integer, primary_key=True),
        sa.Column("run_id", sa.Integer, sa.ForeignKey("run.run_id"), nullable=False),
        sa.Column("trial_id", sa.Integer, sa.ForeignKey("trial.trial_id")),
        sa.Column("fingerprint", sa.String, sa.ForeignKey("architecture.fingerprint"), nullable=False),
        *(sa.Column(name, sa.String, nullable=False) for name in ("device", "machine", "torch", "precision")),
        *(sa.Column(name, sa.Integer, nullable=False) for name in ("batch_size", "threads", "warmup", "n")),
        *(sa.Column(name, sa.Float, nullable=False) for name in ("latency_ms_p50", "latency_ms_p90")),
        sa.Column("peak_memory_bytes", sa.BigInteger),
        sa.Column("predicted_ms", sa.Float),
        sa.Column("measured_at", sa.DateTime, nullable=False),
    )
    op.create_index("measurement_of_run", "measurement", ["run_id", "trial_id"])


def _proxy_score() -> None:
    op.create_table(
        "proxy_score",
        sa.Column("run_id", sa.Integer, sa.ForeignKey("run.run_id"), primary_key=True),
        sa.Column("fingerprint", sa.String, sa.ForeignKey("architecture.fingerprint"), primary_key=True),
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("value", sa.Float),
        sa.Column("reason", sa.String),
        sa.CheckConstraint("(value IS NULL) = (reason IS NOT NULL)", name="proxy_value_or_reason"),
        sqlite_with_rowid=False,
    )
