"""Retraining: train one network from scratch by its recipe, and keep the weights of its best validation epoch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ...spaces.architectures.architecture import Architecture
from ...spaces.metrics.selection import BY_ACCURACY, Selection
from ...spaces.recipes.recipe import Recipe
from ..data.dataset import ImageData
from ..data.normalisation import prepared_for
from ..networks.compute import Compute
from ..networks.pretrained import build_pretrained
from ..optimization.custom_parts import BUILT_IN, CustomParts
from ..ranks.ranks import SINGLE, Ranks
from .calibration import Calibration, fit_temperature
from .distillation import Teacher
from .epoch import EpochResult
from .evaluate import evaluate_on_test, scores
from .loop import copy_to_cpu
from .reported_epoch import ReportedEpoch
from .trainer import Fit
from .training_job import CustomFit


@dataclass(frozen=True)
class Retrained:
    """The weights of a network in its best validation epoch, and the result of this epoch.

    ``calibration`` is fitted on the validation images. ``test_accuracy`` and ``test_metrics`` are measured once and
    select nothing; None and empty without test images. ``problems`` are sentences on custom metrics that failed there.
    """

    weights: dict[str, Tensor]
    best: EpochResult | ReportedEpoch
    test_accuracy: float | None
    calibration: Calibration
    test_metrics: Mapping[str, float] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


def fit_for(
    network: nn.Module,
    architecture: Architecture,
    data: ImageData,
    recipe: Recipe,
    compute: Compute,
    *,
    seed: int,
    keep_best: bool,
    keep_predictions: bool = False,
    selection: Selection,
    custom: CustomParts,
    teacher: Teacher | None = None,
    ranks: Ranks = SINGLE,
) -> Fit | CustomFit:
    """Return the training of one network before its first epoch: the built-in one, or that of a custom function.

    A custom function trains in one process; ``ranks`` are those of the built-in training.
    """
    if custom.function is not None:
        return CustomFit(
            custom.function,
            network,
            architecture,
            data,
            recipe,
            compute,
            seed=seed,
            selection=selection,
            keep_predictions=keep_predictions,
        )
    return Fit(
        network,
        data,
        recipe,
        seed=seed,
        device=compute.device,
        precision=compute.precision,
        channels_last=compute.channels_last,
        keep_best=keep_best,
        keep_predictions=keep_predictions,
        selection=selection,
        custom=custom,
        teacher=teacher,
        ranks=ranks,
    )


def _run(fit: Fit | CustomFit, on_epoch: Callable[[EpochResult | ReportedEpoch], None]) -> None:
    """Train to the end, and end the thread of a custom function."""
    try:
        while not fit.done:
            result = fit.step()
            if result is not None:
                on_epoch(result)
    finally:
        if isinstance(fit, CustomFit):
            fit.close()


def retrain(
    architecture: Architecture,
    recipe: Recipe,
    data: ImageData,
    *,
    seed: int,
    device: str = "cpu",
    precision: str = "fp32",
    selection: Selection = BY_ACCURACY,
    weights: str | None = None,
    teacher: Teacher | None = None,
    custom: CustomParts = BUILT_IN,
    on_epoch: Callable[[EpochResult | ReportedEpoch], None] = lambda result: None,
) -> Retrained:
    """Train the network of ``architecture`` and evaluate it on the test images.

    The same seed on the same kind of machine gives the same result. ``selection`` decides which epoch is the best.
    ``weights`` are those of ``build_pretrained``, ``teacher`` is that of ``recipe.teacher``. ``custom`` may replace the
    loss, the optimizer, or the training. ``on_epoch`` is called after every epoch.
    """
    data = prepared_for(data, architecture)
    network, _ = build_pretrained(architecture, recipe, seed=seed, weights=weights)
    # Channels last is the layout in which convolutions on a GPU are fast; on a CPU it gains little.
    compute = Compute(torch.device(device), precision, channels_last=torch.device(device).type == "cuda")
    fit = fit_for(
        network,
        architecture,
        data,
        recipe,
        compute,
        seed=seed,
        keep_best=True,
        selection=selection,
        custom=custom,
        teacher=teacher,
    )
    _run(fit, on_epoch)
    assert fit.best is not None
    ((module, data),) = fit.best_networks()  # a head and features, if only the head is trained
    trained = copy_to_cpu((module if isinstance(fit, CustomFit) else fit.network).state_dict())
    # Batches may be twice as large as in training, because evaluation stores no activations for a backward pass.
    batch_size = 2 * recipe.batch_size
    calibration = fit_temperature(scores(module, data.val.images, data, fit.compute, batch_size), data.val.labels)
    if data.test is None:
        return Retrained(trained, fit.best, None, calibration)
    names = selection.on_test(data.n_classes, multi_label=data.multi_label)
    test = evaluate_on_test(module, data, fit.compute, batch_size, names)
    return Retrained(trained, fit.best, test.accuracy, calibration, test.metrics, test.problems)
