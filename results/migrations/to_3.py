"""Migration from schema 2 to 3: an index with all columns that a filter query may use."""

from alembic import op

revision = "3"
down_revision = "2"

# A copy of schema.SCAN_COLUMNS at the time of schema 3: a migration must not change when the schema changes later.
_SCAN_COLUMNS = (
    "run_id, trial_id, state, params, macs, val_accuracy, epochs_done, number, activations, memory_bytes, latency_ms, "
    "val_loss, train_accuracy, train_loss, best_epoch, duration_s, seed, fail_kind, device, source_trial_id, "
    "created_at, started_at, ended_at, fingerprint"
)


def upgrade() -> None:
    """Add the index; existing tables do not change."""
    op.execute(f"CREATE INDEX trial_scan ON trial ({_SCAN_COLUMNS})")
