"""Training steps: the forward pass, backward pass and update of every training in this package.

A batch is given by the indices (B,) int64 of its images.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, TypeVar

from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

from .optimizers import set_lr


class Loss(Protocol):
    """The loss that a step minimises: a scalar tensor, or an object that contains one."""

    def backward(self) -> Any:
        """Add the gradient to that of each parameter."""


L = TypeVar("L", bound=Loss)


def train_steps(
    batches: Iterable[Tensor],
    loss_of: Callable[[Tensor], L],
    optimizer: Optimizer,
    *,
    lr_at: Callable[[int], float] | None = None,
    max_grad_norm: float = 0.0,
    after_backward: Callable[[], None] = lambda: None,
    after_step: Callable[[int], None] = lambda step: None,
) -> Iterator[L]:
    """Train on each batch, and yield its loss between the forward pass and the update.

    A caller that stops at a loss that is not finite therefore keeps the weights that produced it. The last update is
    made only if the caller exhausts the iterator. ``lr_at`` returns the learning rate of a step, counted from 0; None
    keeps that of the optimizer. The gradient of all parameters together is scaled to at most the norm
    ``max_grad_norm``; 0 for no limit. ``after_backward`` is called before that, ``after_step`` after each update.
    """
    for step, batch in enumerate(batches):
        loss = loss_of(batch)
        yield loss
        if lr_at is not None:
            set_lr(optimizer, lr_at(step))
        optimizer.zero_grad()
        loss.backward()
        after_backward()
        if max_grad_norm:
            clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], max_grad_norm)
        optimizer.step()
        after_step(step)


def batch_sizes(n: int, batch_size: int, smallest: int = 2) -> list[int]:
    """Return the batch sizes of an epoch of ``n`` images; a smaller last batch than ``smallest`` joins the one before.

    Batch norm cannot train on a batch of one image.

    >>> batch_sizes(10, 4), batch_sizes(9, 4)
    ([4, 4, 2], [4, 5])
    """
    sizes = [batch_size] * (n // batch_size) + ([n % batch_size] if n % batch_size else [])
    if len(sizes) > 1 and sizes[-1] < min(smallest, batch_size):
        return [*sizes[:-2], batch_size + sizes[-1]]
    return sizes
