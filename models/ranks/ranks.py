"""Data-parallel training: what the processes that train one network together exchange.

Every rank holds the whole network and draws the same order of the images. It computes the loss of its share of each
batch, and the gradients of all ranks are added up. The batch of the recipe is the global batch: a training on several
ranks makes the same updates as on one, apart from rounding, random changes of the images, and batch norm.

Shapes: B images in a global batch, N images of a split, K classes.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..storage.images import Images, RowsOf
from .batch_norm import synchronised
from .errors import lost_ranks

BUCKET_ELEMENTS = 1 << 24  # 64 MiB of gradients in float32 are sent at a time
T = TypeVar("T")


@dataclass(frozen=True)
class Ranks:
    """The ranks that train one network, seen from one of them; the default is a process that trains alone.

    ``rank`` counts from 0; the first rank writes checkpoints and reports. ``size`` is the number of ranks. With
    ``sync_batch_norm`` batch norm uses the statistics of the global batch, else those of the share of a rank. The
    methods that exchange data must be called by all ranks in the same order. They use the default process group of
    ``torch.distributed`` and raise :class:`~.errors.RankLostError` if another rank has ended. A single rank returns at
    once.
    """

    rank: int = 0
    size: int = 1
    sync_batch_norm: bool = False

    @property
    def smallest_batch(self) -> int:
        """The smallest number of images of a global batch: two for each rank, because batch norm needs two."""
        return 2 * self.size

    def share(self, batch: Tensor) -> Tensor:
        """Return the part (B / size,) of a global batch (B,) that this rank computes."""
        return batch if self.size == 1 else torch.tensor_split(batch, self.size)[self.rank]

    def share_of_images(self, images: Images) -> Images:
        """Return the images of a split (N, C, H, W) that this rank evaluates, as a view."""
        if not self._splits(images):
            return images
        rows = self.share(torch.arange(len(images)))
        if isinstance(images, Tensor):
            return images[int(rows[0]) : int(rows[-1]) + 1]
        return RowsOf(images, rows.to(images.device))

    def gather(self, scores: Tensor, images: Images) -> Tensor:
        """Return the scores (N, K) of all ``images``, from those of the share of each rank, each image once."""
        if not self._splits(images):
            return scores
        sizes = [len(part) for part in torch.tensor_split(torch.arange(len(images)), self.size)]
        # all_gather needs equal shapes: shorter shares are padded, and the padding is removed again
        padded = scores.new_zeros(max(sizes), *scores.shape[1:])
        padded[: len(scores)] = scores
        parts = [torch.empty_like(padded) for _ in sizes]
        with lost_ranks():
            dist.all_gather(parts, padded)
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    def _splits(self, images: Images) -> bool:
        return self.size > 1 and len(images) >= self.size

    def sum(self, value: Tensor) -> Tensor:
        """Return the sum of ``value`` over the ranks."""
        if self.size == 1:
            return value
        total = value.clone()
        with lost_ranks():
            dist.all_reduce(total)
        return total

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace the gradient of each parameter by its sum over the ranks.

        A parameter without a gradient on every rank keeps none, so that an optimizer leaves it out as on one rank.
        """
        if self.size == 1:
            return
        for bucket in _buckets(parameter for parameter in parameters if parameter.requires_grad):
            gradients = [parameter.grad for parameter in bucket]
            flat = [torch.zeros_like(p) if p.grad is None else p.grad for p in bucket]
            used = torch.tensor([float(gradient is not None) for gradient in gradients]).to(flat[0])
            total = torch.cat([*(part.reshape(-1) for part in flat), used])
            with lost_ranks():
                dist.all_reduce(total)
            *sums, used = torch.split(total, [*(parameter.numel() for parameter in bucket), len(bucket)])
            # only a rank with a missing gradient asks, because reading the answer makes the CPU wait for a GPU
            kept = used.tolist() if None in gradients else [1.0] * len(bucket)
            for parameter, summed, is_used in zip(bucket, sums, kept, strict=True):
                if is_used:
                    _set_gradient(parameter, summed)

    def copy_from_first(self, modules: Iterable[nn.Module]) -> None:
        """Give the parameters and buffers of ``modules`` the values of the first rank."""
        if self.size == 1:
            return
        with torch.no_grad(), lost_ranks():
            for module in modules:
                for tensor in (*module.parameters(), *module.buffers()):
                    copied = tensor.detach().contiguous()
                    dist.broadcast(copied, src=0)
                    tensor.copy_(copied)

    def average_statistics(self, module: nn.Module) -> None:
        """Replace the running statistics of batch norm by their mean over the ranks; other buffers are those of rank 0.

        Without synchronised batch norm, each rank has seen a part of the images.
        """
        if self.size == 1:
            return
        means = set()
        for layer in module.modules():
            if isinstance(layer, _BatchNorm) and layer.running_mean is not None and layer.running_var is not None:
                for buffer in (layer.running_mean, layer.running_var):
                    buffer.copy_(self.sum(buffer) / self.size)
                    means.add(buffer.data_ptr())
        with torch.no_grad(), lost_ranks():
            for buffer in module.buffers():
                if buffer.data_ptr() not in means:
                    dist.broadcast(buffer, src=0)

    def batch_norm(self, module: nn.Module) -> AbstractContextManager[None]:
        """Let batch norm in ``module`` use the statistics of the global batch in the block, if this is asked for."""
        return synchronised(module) if self.size > 1 and self.sync_batch_norm else nullcontext()

    def same_on_all(self, make: Callable[[], T]) -> T:
        """Return the result of ``make`` on the first rank; ``make`` is called on every rank."""
        made = [make()]
        if self.size > 1:
            with lost_ranks():
                dist.broadcast_object_list(made, src=0)
        return made[0]

    def check_same(self, name: str, value: Any) -> None:
        """Raise ``ValueError``, on every rank, if the ranks have different values of ``name``."""
        if self.size == 1:
            return
        values: list[Any] = [None] * self.size
        with lost_ranks():
            dist.all_gather_object(values, value)
        if any(other != values[0] for other in values):
            got = ", ".join(f"{other} on rank {rank}" for rank, other in enumerate(values))
            raise ValueError(
                f"all ranks of a trial must have the same {name}, but got {got}; give every process the same files"
            )


SINGLE = Ranks()


def _buckets(parameters: Iterable[nn.Parameter]) -> Iterator[list[nn.Parameter]]:
    """Group parameters of one kind and at most ``BUCKET_ELEMENTS`` elements; a larger parameter is a group itself."""
    bucket: list[nn.Parameter] = []
    elements = 0
    for parameter in parameters:
        other = bool(bucket) and (parameter.dtype, parameter.device) != (bucket[0].dtype, bucket[0].device)
        if bucket and (other or elements + parameter.numel() > BUCKET_ELEMENTS):
            yield bucket
            bucket, elements = [], 0
        bucket.append(parameter)
        elements += parameter.numel()
    if bucket:
        yield bucket


def _set_gradient(parameter: nn.Parameter, gradient: Tensor) -> None:
    """Set the gradient; an existing one keeps its memory layout, which the optimizer may rely on."""
    if parameter.grad is None:
        parameter.grad = torch.zeros_like(parameter)
    parameter.grad.copy_(gradient.view(parameter.shape))
