"""Facts of a trial's training that are no figure of an epoch: the learning rate found, and what augmentation costs."""

from typing import Any

from .reader import Reading

LR_FOUND = "lr_found"  # the kind of the event that keeps the learning rate of lr = "auto", with every try
AUGMENTATION = "augmentation_cost"  # the kind of the event that keeps how long a batch is augmented


def lrs_found(store: Reading, run: str | int, trial_id: int) -> list[dict[str, Any]]:
    """What ``lr = "auto"`` came to in a trial, one for each fold: ``lr`` and every one of the ``tries``."""
    return _details(store, run, trial_id, LR_FOUND)


def augmentation_cost(store: Reading, run: str | int, trial_id: int) -> dict[str, Any] | None:
    """``batch_ms`` of a batch of ``batch_size`` on its ``device``, as measured last; None without augmentation."""
    found = _details(store, run, trial_id, AUGMENTATION)
    return found[-1] if found else None


def _details(store: Reading, run: str | int, trial_id: int, kind: str) -> list[dict[str, Any]]:
    return [event["detail"] for event in store.events(run, kind, trial_id=trial_id)]
