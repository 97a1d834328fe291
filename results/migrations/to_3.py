"""From schema 2 to 3: an index that a question about any figure of the trials is answered from."""

from alembic import op

revision = "3"
down_revision = "2"

_SCANNED = (
    "run_id, trial_id, state, params, macs, val_accuracy, epochs_done, number, activations, memory_bytes, latency_ms, "
    "val_loss, train_accuracy, train_loss, best_epoch, duration_s, seed, fail_kind, device, source_trial_id, "
    "created_at, started_at, ended_at, fingerprint"
)


def upgrade() -> None:
    """Add the index; nothing that was there changes."""
    op.execute(f"CREATE INDEX trial_scan ON trial ({_SCANNED})")
