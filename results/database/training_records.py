"""Training records: facts about a trial's training that are not metrics of an epoch, stored as events."""

from typing import Any

from .reader import StoreReader

LR_FOUND = "lr_found"  # kind of the event that holds the learning rate of lr = "auto", with all tries
AUGMENTATION = "augmentation_cost"  # kind of the event that holds how long the augmentation of a batch takes

WEIGHTS_LOADED = "weights_loaded"  # kind of the event that holds which pretrained weights a trial started from


def lrs_found(store: StoreReader, run: str | int, trial_id: int) -> list[dict[str, Any]]:
    """Return the results of ``lr = "auto"`` in a trial, one per fold: the chosen ``lr`` and all ``tries``."""
    return [
        detail
        for detail in _details(store, run, trial_id, LR_FOUND)
        if _is_number(detail.get("lr")) and isinstance(detail.get("tries"), list)
    ]


def augmentation_cost(store: StoreReader, run: str | int, trial_id: int) -> dict[str, Any] | None:
    """Return the last measured ``batch_ms`` of a batch of ``batch_size`` on ``device``; None without augmentation."""
    details = [
        detail
        for detail in _details(store, run, trial_id, AUGMENTATION)
        if _is_number(detail.get("batch_ms")) and {"batch_size", "device"} <= set(detail)
    ]
    return details[-1] if details else None


def loaded_weights(store: StoreReader, run: str | int, trial_id: int) -> dict[str, Any] | None:
    """Return ``sha256``, ``tag`` and ``file`` of the pretrained weights of a trial; None for random weights.

    Of image files also how they were resized: ``interpolation`` and ``crop_pct``.
    """
    details = _details(store, run, trial_id, WEIGHTS_LOADED)
    return details[-1] if details else None


def _details(store: StoreReader, run: str | int, trial_id: int, kind: str) -> list[dict[str, Any]]:
    # A database from elsewhere may have details in another form.
    details = (event["detail"] for event in store.events(run, kind, trial_id=trial_id))
    return [detail for detail in details if isinstance(detail, dict)]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)
