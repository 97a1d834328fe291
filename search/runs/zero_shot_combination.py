"""Combination of the best trials of a zero-shot run: trained, calibrated on validation classes, and tested once."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ...results.database.records import Trial, rank
from ..cluster.threads import set_up_worker

if TYPE_CHECKING:
    import torch

    from ...models.data.zero_shot import ZeroShotData
    from ...models.zero_shot.combination import Scores
    from ...results.database.records import History
    from ...spaces.architectures.budget import Budget
    from .zero_shot_context import JobContext


def combination_part(history: "History", budget: "Budget", count: int) -> dict[str, Any]:
    """Return the remote job for the ``count`` best trials of a run, or for all if it has fewer."""
    trials = [t for t in history.finished if t.score is not None and budget.meets_latency_limit(t.latency_ms)]
    return {"combine": [_member(trial) for trial in sorted(trials, key=rank)[:count]]}


def _member(trial: Trial) -> dict[str, Any]:
    return {
        "trial": trial.trial,
        "architecture": trial.architecture,
        "recipe": trial.recipe,
        "epochs": trial.best_epoch,
        "seed": trial.seed,
    }


def combine(members: Sequence[Mapping[str, Any]], context: "JobContext") -> dict[str, Any]:
    """Return the table row of the combination as ``row``, and its file as ``model``.

    Each member is trained twice: on the training classes of the first fold, where its validation scores give the scale
    and gamma, and on all seen classes for the test. Test images choose nothing. If a training diverges, the row has
    ``failed``, the reason, and there is no ``model``.
    """
    from ...models.training.epoch import Diverged
    from ...models.zero_shot.combination import CombinationRule, combination_bytes

    device, fold = set_up_worker(context.cpus, context.gpus), context.folds.folds[0]
    method = f"combination of {len(members)}"
    try:
        rule = CombinationRule.of(fold, [_fitted(member, fold, context, device)[0] for member in members])
        finals = [_fitted(member, context.data, context, device) for member in members]
    except Diverged as error:
        return {"row": {"method": method, "failed": str(error)}}
    names = ", ".join(str(member["trial"]) for member in members)
    row = {
        "method": method,
        "source": f"mean of the calibrated scores of trials {names}",
        "setting": f"H {rule.h:.4f} on the validation classes of the first fold",
        **asdict(rule.test(context.data, [scores for scores, _ in finals])),
    }
    return {"row": row, "model": combination_bytes(rule, [content for _, content in finals])}


def _fitted(
    member: Mapping[str, Any], data: "ZeroShotData", context: "JobContext", device: "torch.device"
) -> "tuple[Scores, bytes]":
    """Train one member on the seen classes of ``data``; return its scores on both test parts, and its model file."""
    from ...models.zero_shot.combination import scores_of
    from ...models.zero_shot.saved_model import ZeroShotModel
    from ...spaces.architectures.architecture import Architecture
    from ...spaces.recipes.zero_shot_recipe import ZeroShotRecipe
    from ..tasks.zero_shot import frozen_vectors, zero_shot_fit

    architecture, recipe = Architecture.from_json(member["architecture"]), ZeroShotRecipe.from_json(member["recipe"])
    start, seed, backbone = context.folds.start, member["seed"], None
    if start.frozen:
        backbone, (data,) = frozen_vectors(architecture, (data,), seed, device, context.precision, start)
    fit = zero_shot_fit(architecture, recipe, data, seed, device, context.precision, start, validate=False)
    while fit.epoch < member["epochs"]:
        fit.step()
    scores = scores_of(fit, data)
    # gamma of a member is not used: that of the combination replaces it
    return scores, ZeroShotModel.of(fit, architecture, 0.0, backbone).to_bytes()
