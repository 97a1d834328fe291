"""The inputs of torchvision's networks, which differ by task: classification, detection, video and others."""

from collections.abc import Sequence
from typing import Any

import torch

DEFAULT_INPUT = (3, 224, 224)  # the usual size of ImageNet images; torchvision does not record an input size
# the sizes of torchvision's own evaluation
TASK_SHAPES = {
    "detection": (3, 800, 800),
    "segmentation": (3, 520, 520),
    "video": (3, 16, 224, 224),
    "optical_flow": (3, 520, 960),
}
SMALL_VIDEOS = ("r3d_18", "mc3_18", "r2plus1d_18")


def task_names(*tasks: str) -> list[str]:
    """Return the names of torchvision's networks for ``tasks``, which are keys of :data:`TASK_SHAPES`."""
    import torchvision

    return [name for task in tasks for name in torchvision.models.list_models(module=_module(task))]


def usual_shape(name: str) -> tuple[int, ...]:
    """Return the usual shape of one input of torchvision's network ``name``, without the batch."""
    if name in SMALL_VIDEOS:
        return (3, 16, 112, 112)
    task = _task(name)
    return TASK_SHAPES[task] if task else DEFAULT_INPUT


def example_inputs(name: str, shape: Sequence[int]) -> tuple[Any, ...]:
    """Return one input of ``shape`` on the meta device, as torchvision's network ``name`` takes it.

    Detectors take a list of images, and networks of optical flow take two images.
    """
    batch = torch.empty(1, *shape, device="meta")
    task = _task(name)
    if task == "detection":
        return ([batch[0]],)
    return (batch, batch) if task == "optical_flow" else (batch,)


def _task(name: str) -> str | None:
    return next((task for task in TASK_SHAPES if name in task_names(task)), None)


def _module(task: str) -> Any:
    import torchvision

    return getattr(torchvision.models, task)
