"""Export of a trial's trained network for a device, checked on its own validation images and against its budget."""

from pathlib import Path
from typing import TYPE_CHECKING

from ...results.database.records import Trial
from ...spaces.architectures.budget import Budget
from .retrain import experiment_and_data, load_best_model

if TYPE_CHECKING:
    from ...models.export.device_formats import DeviceExport
    from ...results.database.reader import StoreReader

N_CALIBRATION = 128  # images; BakeNN calibrates in Python, which takes a time for each


def export_trial(
    store: "StoreReader", trial: Trial, folder: Path, format: str, *, limits: Budget | None = None
) -> "DeviceExport":
    """Export the trained network of ``trial`` in ``format``, and compare it with torch on validation images.

    The int8 formats are calibrated on training images. ``folder`` is the folder of the runs. Raises ``ValueError`` if
    the trial has no weights, its data have changed, a package is not installed, an operator is unknown, or the result
    needs more RAM or flash than the budget of the search, or ``limits``, allows.
    """
    from ...models.export.device_formats import N_CHECK_IMAGES, check_fits, export_for_device
    from ...models.quantization.int8 import drawn

    experiment, data = experiment_and_data(store, trial)
    model = load_best_model(store, trial, folder)
    calibration = drawn(data.train.images, N_CALIBRATION)
    exported = export_for_device(model, format, calibration, drawn(data.val.images, N_CHECK_IMAGES))
    for budget in (experiment.budget, limits):
        if budget is not None:
            check_fits(exported, budget)
    return exported
