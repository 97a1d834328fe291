"""GPUs: what there is, and what share of one a trial needs by its predicted training memory."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...results.database.records import Trial
from ...spaces.architectures.architecture import Architecture
from ...spaces.architectures.cost import cost
from ...spaces.blocks.cost import FLOAT_BYTES, STATES
from ...spaces.recipes.recipe import RecipeSpace
from ..config.schema import ResourcesSection
from .ray_runtime import ResourceError, ask_machines

if TYPE_CHECKING:
    from ...models.data.dataset import ImageData

# what a process takes of a GPU before its first tensor: the CUDA context, the kernels and workspaces of the libraries
CONTEXT_BYTES = 1 << 30
# predicted training memory knows tensors alone: room for workspaces, a larger batch in evaluation, fragmentation
SAFETY = 1.5
SMALLEST = 1 / 64


@dataclass(frozen=True)
class Shares:
    """What share of a GPU of ``gpu_bytes`` a trial takes, with ``data_bytes`` of pictures, in as many ``folds``.

    Shares are halves of halves: whatever trials come, they fill a GPU, and a worker serves every trial of its share.
    ``copies`` of the parameters are kept beside weights, gradients and momentum: Adam's second moment, an average.
    """

    gpu_bytes: int
    data_bytes: int
    folds: int = 1
    copies: int = 0

    @property
    def most_memory_bytes(self) -> int:
        """The largest predicted training memory that fits on a whole GPU; negative where not even the data do.

        As if all of it were parameters, of which there are ``copies`` more.
        """
        return int((self.gpu_bytes - CONTEXT_BYTES - self.data_bytes) / SAFETY / (1 + self.copies / STATES))

    def share(self, architecture: Architecture, batch_size: int) -> float:
        """The share for ``architecture``, trained with batches of ``batch_size``: 1, 1/2, 1/4 and so on to 1/64."""
        price = cost(architecture, batch_size)
        # the networks of other folds wait with all that is kept of parameters; activations belong to one at a time
        waiting = (self.folds - 1) * STATES + self.folds * self.copies
        needed = CONTEXT_BYTES + self.data_bytes + SAFETY * (price.memory_bytes + waiting * FLOAT_BYTES * price.params)
        share = 1.0
        while share / 2 >= SMALLEST and needed <= self.gpu_bytes * share / 2:
            share /= 2
        return share

    def of(self, trial: Trial) -> float:
        """The share of a trial of the run."""
        return self._told(trial.architecture, trial.recipe)

    def _told(self, architecture: Mapping[str, Any], recipe: Mapping[str, Any]) -> float:
        return self.share(Architecture.from_json(architecture), recipe["batch_size"])

    def resources(self, cpus: float) -> Any:
        """For Tune: what the trial of a configuration takes, ``cpus`` cores and its share of a GPU."""
        from ray.tune import PlacementGroupFactory

        def asked(config: dict[str, Any]) -> PlacementGroupFactory:
            trial = json.loads(config["trial"])
            return PlacementGroupFactory([{"CPU": cpus, "GPU": self._told(trial["architecture"], trial["recipe"])}])

        return asked


def check_gpus(asked: ResourcesSection, data: "ImageData", folds: int | None, recipes: RecipeSpace) -> Shares | None:
    """The shares that trials take of a GPU where ``gpus_per_trial`` is "auto"; None where it is a number.

    Raises :class:`ResourceError` where torch cannot use a GPU that is asked for.
    """
    if not asked.gpus:
        return None
    size = gpu_bytes()
    if asked.gpus_per_trial != "auto":
        return None
    pictures = sum(tensor.nbytes for split in data.splits for tensor in (split.images, split.labels))
    # every fold has pictures of its own, as many as the pool, beside the pool itself
    return Shares(size, pictures * (1 + (folds or 0)), folds or 1, copies(recipes))


def copies(recipes: RecipeSpace) -> int:
    """The most copies of its parameters that a recipe of ``recipes`` keeps beside weights, gradients and momentum."""
    second_moment = set(recipes.ends("optimizer")) != {"sgd"}
    return second_moment + (set(recipes.ends("averaging")) != {"none"})


def gpu_bytes() -> int:
    """The memory of the smallest GPU of the running Ray, as torch sees it on each machine that has one."""
    found = ask_machines(smallest_gpu, "GPU", num_gpus=0.01)
    for host, size in found:
        if not isinstance(size, int):
            raise ResourceError(
                f"Ray says that {host} has a GPU, but torch cannot use one there; install its driver and a torch with "
                "CUDA, or set resources.gpus_per_trial to 0"
            )
    return min((size for _, size in found), default=0)


def smallest_gpu() -> int | None:
    """The memory in bytes of the smallest GPU that this process sees; None where torch can use none."""
    import torch

    if not torch.cuda.is_available():
        return None
    return min(torch.cuda.get_device_properties(place).total_memory for place in range(torch.cuda.device_count()))


def cap(share: float, total_bytes: int) -> float:
    """The part of a GPU's memory that torch may take within ``share``: what the context takes is not torch's."""
    return max(share - CONTEXT_BYTES / total_bytes, share / 4)
