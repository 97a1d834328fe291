"""Quantisation of a trial's network to int8: its metrics on the validation images, as columns of the database."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...results.database.records import Trial
from ...results.database.store import Store
from ...spaces.metrics.registry import ACCURACY, stored_name
from .retrain import experiment_and_data, load_best_model

if TYPE_CHECKING:
    from torch import Tensor

    from ...models.data.dataset import ImageData
    from ...models.export.classifier import ImageModel

QUANTIZED = "quantized"  # kind of the event with the result


def quantize_trial(store: Store, trial: Trial, folder: Path, *, n_calibration: int | None = None) -> dict[str, Any]:
    """Quantise the trained network of ``trial`` to int8, measure it on the validation images, and record the metrics.

    The ranges of the activations come from ``n_calibration`` training images (None: 256). The metrics are the accuracy
    and those that the search records. onnxruntime, if it is installed, quantises the network a second time: a check
    that is recorded with the event. ``folder`` is the folder of the runs. Raises ``ValueError`` if the trial has no
    weights, its data have changed, or torchao or executorch is not installed.
    """
    from ...models.metrics.label_losses import agreement
    from ...models.quantization.int8 import N_CALIBRATION, calibration_images, quantized, scores_of
    from ...models.quantization.packages import INT8_PACKAGES, require
    from ...models.quantization.validation import metrics_of_scores

    require("archsieve quantize", INT8_PACKAGES, "devices")
    experiment, data = experiment_and_data(store, trial)
    model = load_best_model(store, trial, folder)
    data = with_statistics(data, model)
    n = min(N_CALIBRATION if n_calibration is None else n_calibration, len(data.train))
    calibration = calibration_images(data, n)
    network = quantized(model.network, calibration)
    names = (ACCURACY, *experiment.selection.computed)
    exact = model.scores(data.val.images)
    scores = {"float32": exact, "int8": scores_of(network, data.val.images, model.normalise)}
    if find_spec("onnxruntime") is not None and find_spec("onnxscript") is not None:
        scores["onnxruntime"] = _with_onnxruntime(model, data, n)
    metrics = {kind: metrics_of_scores(one, data, names) for kind, one in scores.items()}
    assert trial.best_epoch is not None  # a trial with weights has finished
    store.record_int8(trial.trial, trial.best_epoch, metrics["int8"])
    detail = {
        "trial": trial.trial,
        "seed": model.about["seed"],
        "n_calibration": n,
        "n_val": len(data.val),
        **{kind: {stored_name(name): value for name, value in row.items()} for kind, row in metrics.items()},
        "agreement": agreement(exact, scores["int8"], multi_label=model.multi_label),
    }
    store.add_event(store.run(trial.run).run_id, "info", QUANTIZED, detail, trial.trial)
    return detail


def with_statistics(data: "ImageData", model: "ImageModel") -> "ImageData":
    """Return ``data`` with the pixel statistics of ``model``, which it was trained with."""
    from dataclasses import replace

    return replace(data, mean=model.mean, std=model.std)


def _with_onnxruntime(model: "ImageModel", data: "ImageData", n: int) -> "Tensor":
    from ...models.export import onnx_int8
    from ...models.quantization.int8 import drawn, scores_of

    return scores_of(onnx_int8.write(model, drawn(data.train.images, n)).run, data.val.images)
