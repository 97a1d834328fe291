"""GPU sharing: which GPUs exist, and which share of one a trial needs for its predicted training memory."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...results.database.records import Trial
from ...spaces.architectures.architecture import Architecture
from ...spaces.architectures.cost import cost
from ...spaces.blocks.cost import FLOAT_BYTES, TENSORS_PER_PARAM
from ...spaces.recipes.recipe import RecipeSpace
from ..config.schema import ResourcesSection
from .errors import ResourceError
from .ray_runtime import run_on_nodes

if TYPE_CHECKING:
    from ...models.data.dataset import ImageData

# A process takes this much of a GPU before its first tensor: the CUDA context, and the kernels and workspaces of the
# libraries.
CONTEXT_BYTES = 1 << 30
# The predicted training memory counts tensors only. This factor adds room for workspaces, for the larger batch of
# evaluation and for fragmentation.
SAFETY = 1.5
MIN_SHARE = 1 / 64


@dataclass(frozen=True)
class Shares:
    """The rule that gives each trial its share of a GPU.

    A share is 1, 1/2, 1/4 and so on. Powers of two fill a GPU in every combination, and a worker can serve all trials
    of its share.

    Args:
        gpu_bytes: memory of the smallest GPU.
        data_bytes: memory of the images and labels.
        folds: networks that a trial trains, one per fold.
        copies: copies of the parameters in addition to weights, gradients and momentum: Adam's second moment, an
            average of the weights.
    """

    gpu_bytes: int
    data_bytes: int
    folds: int = 1
    copies: int = 0

    @property
    def max_memory_bytes(self) -> int:
        """The largest predicted training memory that fits on a whole GPU; negative when even the data do not fit.

        Assumes that all of this memory belongs to parameters, which exist ``copies`` more times: the worst case.
        """
        return int((self.gpu_bytes - CONTEXT_BYTES - self.data_bytes) / SAFETY / (1 + self.copies / TENSORS_PER_PARAM))

    def share(self, architecture: Architecture, batch_size: int) -> float:
        """Return the share for ``architecture`` trained with ``batch_size``: 1, 1/2, 1/4 and so on to 1/64."""
        network_cost = cost(architecture, batch_size)
        # The folds train in turn. A waiting network keeps its parameters and their states, but no activations.
        waiting = (self.folds - 1) * TENSORS_PER_PARAM + self.folds * self.copies
        tensor_bytes = network_cost.memory_bytes + waiting * FLOAT_BYTES * network_cost.params
        needed = CONTEXT_BYTES + self.data_bytes + SAFETY * tensor_bytes
        share = 1.0
        while share / 2 >= MIN_SHARE and needed <= self.gpu_bytes * share / 2:
            share /= 2
        return share

    def of_trial(self, trial: Trial) -> float:
        """Return the share of a trial of the run."""
        return self._of_design(trial.architecture, trial.recipe)

    def _of_design(self, architecture: Mapping[str, Any], recipe: Mapping[str, Any]) -> float:
        return self.share(Architecture.from_json(architecture), recipe["batch_size"])

    def resources(self, cpus: float) -> Any:
        """Return a function for Tune: from a trial's configuration to its ``cpus`` cores and its share of a GPU."""
        from ray.tune import PlacementGroupFactory

        def trial_resources(config: dict[str, Any]) -> PlacementGroupFactory:
            trial = json.loads(config["trial"])
            return PlacementGroupFactory(
                [{"CPU": cpus, "GPU": self._of_design(trial["architecture"], trial["recipe"])}]
            )

        return trial_resources


def check_gpus(
    resources: ResourcesSection,
    data: "ImageData",
    folds: int | None,
    recipes: RecipeSpace,
    should_continue: Callable[[], bool] = lambda: True,
) -> Shares | None:
    """Return the GPU shares of trials when ``gpus_per_trial`` is "auto"; None when it is a number.

    ``should_continue`` is as in :func:`run_on_nodes`. Raises :class:`ResourceError` when the run asks for a GPU that
    torch cannot use.
    """
    if not resources.gpus:
        return None
    size = gpu_bytes(should_continue)  # before the return below: a fixed number of GPUs must be usable, too
    if resources.gpus_per_trial != "auto":
        return None
    image_bytes = _image_bytes(data, size)
    # The folds share one copy of the images of training and validation, next to the images themselves.
    return Shares(size, image_bytes * (2 if folds else 1), folds or 1, copies(recipes))


def _image_bytes(data: "ImageData", gpu_size: int) -> int:
    """Return the bytes of images and labels on a GPU: without the images that are moved there batch by batch."""
    from ...models.storage.images import GPU_FRACTION, StoredImages

    labels = sum(split.labels.nbytes for split in data.splits)
    images = sum(split.images.nbytes for split in data.splits)
    stored = isinstance(data.splits[0].images, StoredImages)
    return labels + (0 if stored and images > GPU_FRACTION * gpu_size else images)


def copies(recipes: RecipeSpace) -> int:
    """Return the most extra copies of the parameters that a recipe of ``recipes`` keeps in memory.

    Weights, gradients and momentum are not counted. One copy is the second moment of Adam, one the averaged weights.
    """
    second_moment = set(recipes.ends("optimizer")) != {"sgd"}
    return second_moment + (set(recipes.ends("averaging")) != {"none"})


def gpu_bytes(should_continue: Callable[[], bool] = lambda: True) -> int:
    """Return the memory of the smallest GPU in the Ray cluster, as torch reports it on each node with a GPU.

    Raises :class:`ResourceError` when torch cannot use the GPU of a node.
    """
    # A small part of a GPU is enough to read its size, and leaves the rest to other users of the cluster.
    sizes = run_on_nodes(smallest_gpu, "GPU", should_continue, num_gpus=0.01)
    for host, size in sizes:
        if not isinstance(size, int):
            raise ResourceError(
                f"Ray reports a GPU on {host}, but torch cannot use it; install its driver and a torch with CUDA, or "
                "set resources.gpus_per_trial to 0"
            )
    return min((size for _, size in sizes), default=0)


def smallest_gpu() -> int | None:
    """Return the memory in bytes of the smallest GPU that this process sees; None when torch can use none."""
    import torch

    if not torch.cuda.is_available():
        return None
    return min(torch.cuda.get_device_properties(index).total_memory for index in range(torch.cuda.device_count()))


def memory_fraction(share: float, total_bytes: int) -> float:
    """Return the fraction of a GPU's memory that torch may allocate within ``share``.

    The CUDA context is part of the share, but torch does not allocate it, so it is subtracted.
    """
    # Keep the fraction above zero even when the context is as large as the share.
    return max(share - CONTEXT_BYTES / total_bytes, share / 4)
