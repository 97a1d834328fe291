"""Metrics of a network in int8 on the validation images; the ranges of its activations come from training images."""

from collections.abc import Sequence

from torch import Tensor, nn

from ...spaces.metrics.registry import ACCURACY
from ..data.dataset import ImageData, in_unit_range
from ..training.evaluate import evaluate_logits
from .int8 import N_CALIBRATION, calibration_images, quantized, scores_of


def int8_metrics(
    network: nn.Module, data: ImageData, names: Sequence[str], *, n_calibration: int = N_CALIBRATION
) -> dict[str, float]:
    """Return the metrics ``names`` of ``network`` in int8 on the validation images of ``data``.

    ``data`` has the normalisation of the network. The graph of int8 operations runs on the CPU, as on a device; the
    network and the data may be elsewhere, and stay unchanged. Raises ``ValueError`` if torchao or executorch is not
    installed.
    """
    from copy import deepcopy

    # eval(): a copy, because the training may continue
    on_cpu = deepcopy(network).cpu().eval()
    graph = quantized(on_cpu, calibration_images(data, n_calibration).cpu())

    def normalise(images: Tensor) -> Tensor:
        return data.normalise(in_unit_range(images.to(data.mean.device))).cpu()

    return metrics_of_scores(scores_of(graph, data.val.images, normalise), data, names)


def metrics_of_scores(scores: Tensor, data: ImageData, names: Sequence[str]) -> dict[str, float]:
    """Return the metrics ``names`` on the validation images, from scores (N, K)."""
    others = [name for name in names if name != ACCURACY]
    evaluation = evaluate_logits(scores, data.val.labels.cpu(), others)
    return {ACCURACY: evaluation.accuracy, **evaluation.metrics}
