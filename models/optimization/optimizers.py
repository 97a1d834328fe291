"""Optimizers and learning-rate schedules, by their names in a recipe."""

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from ...spaces.parameters.lookup import look_up
from ...spaces.recipes.recipe import Recipe
from ..networks.adapters import adapters_of, weights_of
from .custom_parts import BUILT_IN, CustomParts
from .fine_tuning import lr_scales

ONE_CYCLE_RISE = 0.3  # share of the steps before the peak
ONE_CYCLE_START = 1 / 25  # learning rate of the first step, as a fraction of the peak


def make_optimizer(
    network: nn.Module, recipe: Recipe, heads: Sequence[nn.Module] = (), custom: CustomParts = BUILT_IN
) -> Optimizer:
    """Return the recipe's optimizer over the trainable parameters, with ``recipe.lr`` as its learning rate.

    ``heads`` are modules that are trained with ``network``. A custom optimizer takes the place of the recipe's. The
    schedule of the recipe sets the learning rate of both at each step.

    ``recipe.momentum`` is the momentum of ``sgd`` (Nesterov's if ``recipe.nesterov`` and above 0) and the first beta of
    ``adam`` and ``adamw``. ``adam`` adds the decay to the gradient; ``adamw`` decouples it (Loshchilov and Hutter
    2019).
    Raises ``ValueError`` if no parameter is trainable.
    """
    groups = parameter_groups(nn.ModuleList([network, *heads]), recipe, lr_scales(network, recipe))
    if not groups:
        raise ValueError("a network needs trainable parameters, but this one has none; unfreeze some of its layers")
    made = custom.make_optimizer(groups, recipe)
    return made if made is not None else look_up(OPTIMIZERS, recipe.optimizer, "optimizer")(groups, recipe)


def parameter_groups(
    module: nn.Module, recipe: Recipe, scales: Mapping[int, float] = MappingProxyType({})
) -> list[dict[str, Any]]:
    """Return the groups of trainable parameters, for each factor ``lr_scale`` those with and without weight decay.

    Weights of convolutions and linear layers decay, and adapters of them; all others (biases, norms, PReLU slopes) only
    with ``decay_norms``. ``scales`` has the factor on the learning rate of a parameter by its id; without factors there
    are two groups, and no group has one. An empty group is left out.
    """
    # By id, because comparing tensors compares their values.
    weights = {id(weight) for weight in (*weights_of(module), *_matrices(module))}
    trainable = [p for p in module.parameters() if p.requires_grad]
    groups = []
    for scale in dict.fromkeys(scales.get(id(p), 1.0) for p in trainable):
        scaled = [p for p in trainable if scales.get(id(p), 1.0) == scale]
        decays = [p for p in scaled if recipe.decay_norms or id(p) in weights]
        others = [p for p in scaled if not (recipe.decay_norms or id(p) in weights)]
        extra = {"lr_scale": scale} if scales else {}
        groups.append({"params": decays, "weight_decay": recipe.weight_decay, **extra})
        groups.append({"params": others, "weight_decay": 0.0, **extra})
    return [group for group in groups if group["params"]]


def _matrices(module: nn.Module) -> list[nn.Parameter]:
    return [matrix for adapter in adapters_of(module) for matrix in (adapter.down, adapter.up)]


# Schedules are pure functions of the step. torch.optim.lr_scheduler is not used, because its numbers differ. Measured
# with torch 2.14 on 100, 1,000 and 10,000 steps: CosineAnnealingLR, a recursion, deviates by up to 22, 78 and 603 units
# in the last place (16, 65 and 481 after LinearLR in SequentialLR), MultiStepLR by 1; OneCycleLR reaches its peak one
# step earlier. LambdaLR over the functions below is bit-identical, but it takes 8.9 us per step instead of 2.8 us for
# set_lr and lr_at, evaluates one step after the last one, and adds a state: checkpoints of version 0.1.0 have none, and
# a peak found by find_lr would have to be written into its base_lrs.


def set_lr(optimizer: Optimizer, lr: float) -> None:
    """Set the learning rate of every parameter group for the next step, times the factor ``lr_scale`` of the group."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get("lr_scale", 1.0)


def lr_at(recipe: Recipe, step: int, total_steps: int) -> float:
    """Return the learning rate of ``step`` in 0..total_steps-1.

    A linear warm-up ends at the peak ``recipe.lr``. Then every schedule except ``constant`` falls, and the last step
    has exactly ``recipe.lr * recipe.lr_end``, even if it is the only step. Raises ``ValueError`` for a step outside the
    run.
    """
    if not 0 <= step < total_steps:
        raise ValueError(
            f"`0 <= step < total_steps` must hold, but got step={step}, total_steps={total_steps}; "
            "stop after the last step"
        )
    rise = _rise_steps(recipe, total_steps)
    if step < rise:
        # A plain warm-up starts at 1 / (rise + 1) of the peak: a step with rate 0 would change nothing.
        start = ONE_CYCLE_START if recipe.schedule == "one-cycle" else 1 / (rise + 1)
        return recipe.lr * (start + (1 - start) * step / rise)
    fall = total_steps - 1 - rise
    progress = (step - rise) / fall if fall > 0 else 1.0
    return recipe.lr * look_up(SCHEDULES, recipe.schedule, "schedule")(progress, recipe.lr_end)


def _rise_steps(recipe: Recipe, total_steps: int) -> int:
    """Return the number of steps before the peak, which never include the last step.

    These are the warm-up or, in a one-cycle run without warm-up, three tenths of the steps.
    """
    share = recipe.warmup_epochs / recipe.epochs
    if recipe.schedule == "one-cycle" and not share:
        share = ONE_CYCLE_RISE
    return min(round(share * total_steps), total_steps - 1)


def _cosine(progress: float, end: float) -> float:
    """Cosine annealing without restarts (Loshchilov and Hutter 2017)."""
    return end + (1 - end) * (1 + math.cos(math.pi * progress)) / 2


def _step(progress: float, end: float) -> float:
    """Two falls by the same factor, at a half and at three quarters, as He et al. 2016 trained on CIFAR-10."""
    return end if progress >= 0.75 else math.sqrt(end) if progress >= 0.5 else 1.0


def _line(progress: float, end: float) -> float:
    """The falling part of one cycle, a straight line (Smith 2018, arXiv:1803.09820)."""
    return (1 - progress) + progress * end


SCHEDULES: dict[str, Callable[[float, float], float]] = {
    "cosine": _cosine,
    "step": _step,
    "one-cycle": _line,
    "constant": lambda progress, end: 1.0,
}


def _sgd(groups: list[dict[str, Any]], recipe: Recipe) -> Optimizer:
    nesterov = recipe.nesterov and recipe.momentum > 0
    return torch.optim.SGD(groups, lr=recipe.lr, momentum=recipe.momentum, nesterov=nesterov)


def _adam(groups: list[dict[str, Any]], recipe: Recipe) -> Optimizer:
    return torch.optim.Adam(groups, lr=recipe.lr, betas=(recipe.momentum, 0.999))


def _adamw(groups: list[dict[str, Any]], recipe: Recipe) -> Optimizer:
    return torch.optim.AdamW(groups, lr=recipe.lr, betas=(recipe.momentum, 0.999))


OPTIMIZERS: dict[str, Callable[[list[dict[str, Any]], Recipe], Optimizer]] = {
    "sgd": _sgd,
    "adam": _adam,
    "adamw": _adamw,
}
