"""Migration from schema 3 to 4: the RAM and the flash of a trial's network on a device."""

import sqlalchemy as sa
from alembic import op

revision = "4"
down_revision = "3"

# A copy of schema.SCAN_COLUMNS at the time of schema 4: a migration must not change when the schema changes later.
_SCAN_COLUMNS = (
    "run_id, trial_id, state, params, macs, val_accuracy, epochs_done, number, activations, memory_bytes, latency_ms, "
    "val_loss, train_accuracy, train_loss, best_epoch, duration_s, seed, fail_kind, device, source_trial_id, "
    "created_at, started_at, ended_at, fingerprint, ram_bytes, flash_bytes"
)


def upgrade() -> None:
    """Add two columns, which are null for existing trials, and replace the index of all columns of filters."""
    op.add_column("trial", sa.Column("ram_bytes", sa.BigInteger))
    op.add_column("trial", sa.Column("flash_bytes", sa.BigInteger))
    op.drop_index("trial_scan", table_name="trial")
    op.execute(f"CREATE INDEX trial_scan ON trial ({_SCAN_COLUMNS})")
