"""Checks of learning: the learning rate, memorising a small subset, and whether labels match images (lecture)."""

import math
from dataclasses import replace

import torch

from ...spaces.recipes.recipe import SUFFICIENT_LR_DECAY
from ..data.dataset import Split
from ..training.evaluate import prediction_spread
from ..training.lr_finder import NoLearningRate, find_lr
from .context import DiagnosticContext, Finding, TrainingRun

N_MEMORISED = 128  # images
MAX_STEPS = 600  # to memorise them
MAX_LR_RATIO = 8.0  # times the learning rate that the rule finds; larger ones are too large
MIN_LR_DIVISOR = 1000.0  # learning rates below that of the rule divided by this are too small
MAX_LOSS_RATIO = 0.8  # the loss falls if it ends below this fraction of the first loss
COLLAPSED_SHARE = 0.95  # of all images in one class: the prediction is constant
SIGMAS = 3.0  # standard deviations above chance that guessing almost never reaches


def rate(context: DiagnosticContext) -> Finding:
    """Compare the recipe's learning rate with the rule's: the first of 1, 1/2, 1/4, ... at which the loss falls."""
    lr = context.recipe.lr
    try:
        search = find_lr(context.make(context.seed), context.data, context.recipe, seed=context.seed)
    except NoLearningRate as error:
        return Finding("rate", "bad", str(error), "check the gradients, the loss and the labels first")
    metrics = {"lr": lr, "found": search.lr, "tries": len(search.tries)}
    evidence = f"lr {lr:g}; the rule (start large, halve until the loss falls) gives {search.lr:g}"
    if lr > MAX_LR_RATIO * search.lr:
        message = f"the learning rate is far too large: {evidence}"
        return Finding("rate", "bad", message, f"set lr = {search.lr:g}", metrics)
    if lr < search.lr / MIN_LR_DIVISOR:
        message = f"the learning rate is very small: {evidence}"
        return Finding("rate", "watch", message, f"try lr = {search.lr:g}", metrics)
    end = 1.0 if context.recipe.schedule == "constant" else context.recipe.lr_end
    if end > SUFFICIENT_LR_DECAY:
        message = f"the learning rate ends at {end:g} of its initial value, which is above a hundredth; {evidence}"
        return Finding("rate", "watch", message, 'set schedule = "cosine" and lr_end = 0.01', metrics)
    return Finding("rate", "good", evidence, "", metrics)


def overfit(context: DiagnosticContext) -> Finding:
    """Check that the network can memorise a small subset without regularisation, also with shuffled labels.

    An error above zero means a wrong loss, too few parameters, or a failing optimisation.
    """
    split = context.subset(N_MEMORISED)
    run, params = _memorise(context, split), sum(p.numel() for p in context.make(context.seed).parameters())
    error, count = 1 - run.train_accuracy, len(split)
    first, last = run.losses[0], _mean_of_last(run.losses)
    metrics = {"error": error, "images": count, "steps": len(run.losses), "params": params, "losses": [first, last]}
    evidence = (
        f"training error {error:.1%} on {count} images after {len(run.losses)} steps, loss {first:.3g} to {last:.3g}"
    )
    if error == 0:
        shuffled = _memorise(context, Split(split.images, split.labels[_permutation(context, count)]))
        shuffled_error = metrics["shuffled_error"] = 1 - shuffled.train_accuracy
        evidence += f"; with shuffled labels {shuffled_error:.1%}"
        if shuffled_error > 0:
            advice = "the network generalises but cannot memorise: add shortcuts or norms, or increase its width"
            return Finding("overfit", "watch", f"shuffled labels are not learned: {evidence}", advice, metrics)
        return Finding("overfit", "good", evidence, "", metrics)
    if last < MAX_LOSS_RATIO * first and run.train_accuracy < _significant_accuracy(context, count):
        advice = "the loss does not measure the classification error: compare it with cross-entropy on the same scores"
        message = f"the loss is wrong: it falls, but the accuracy stays at chance; {evidence}"
        return Finding("overfit", "bad", message, advice, metrics)
    # one label is log2(K) bits, several are K bits, and a parameter is counted as one bit
    n_classes = context.data.n_classes
    if params < count * (n_classes if context.data.multi_label else math.log2(n_classes)):
        advice = "increase its width or depth: more params and macs"
        message = f"the network is too small: {params:,} parameters for {count} images; {evidence}"
        return Finding("overfit", "bad", message, advice, metrics)
    advice = "the optimisation fails: see the checks rate and gradients, then check the initialisation"
    message = f"the network is large enough but does not memorise the images; {evidence}"
    return Finding("overfit", "bad", message, advice, metrics)


def labels(context: DiagnosticContext) -> Finding:
    """Check the predictions after a short training run: more than one class, and above chance on new images."""
    short_run = context.short_training
    if short_run.diverged:
        message = f"training by the recipe diverged at step {len(short_run.losses)}"
        return Finding("labels", "bad", message, "lower the learning rate; if it is already low, check the gradients")
    share = prediction_spread(short_run.module, context.data.val.images, context.data).top_share
    limit = _significant_accuracy(context, len(context.data.val))
    metrics = {
        "train": short_run.train_accuracy,
        "val": short_run.val_accuracy,
        "chance": context.chance,
        "same": share,
    }
    evidence = (
        f"after {len(short_run.losses)} steps training accuracy {short_run.train_accuracy:.1%}, validation "
        f"{short_run.val_accuracy:.1%}, chance {context.chance:.1%}"
    )
    if share > COLLAPSED_SHARE and context.chance < COLLAPSED_SHARE:
        message = f"the prediction has collapsed: {share:.0%} of the images are in one class; {evidence}"
        advice = "lower the learning rate; check for dead layers and a wrong loss"
        return Finding("labels", "bad", message, advice, metrics)
    learned = short_run.train_accuracy > _significant_accuracy(context, len(context.data.train)) + 0.05
    if short_run.val_accuracy < limit and learned:
        message = f"the labels do not match the images, as if they were shuffled; {evidence}"
        return Finding("labels", "bad", message, "check that images and labels are in the same order", metrics)
    if short_run.val_accuracy < limit:
        message = f"the network has learned nothing yet; {evidence}"
        return Finding("labels", "watch", message, "train longer, or see the check rate", metrics)
    return Finding("labels", "good", evidence, "", metrics)


def _memorise(context: DiagnosticContext, split: Split) -> TrainingRun:
    """Train on ``split`` without regularisation until there is no error, or for ``MAX_STEPS`` steps.

    The learning rate is a quarter of the one that the rule finds, or the recipe's if the rule finds none.
    """
    recipe = replace(context.unregularised_recipe, batch_size=min(context.recipe.batch_size, 32), schedule="constant")
    try:
        data = replace(context.data, train=split)
        lr = find_lr(context.unregularised_network(), data, recipe, seed=context.seed, n_images=len(split)).lr / 4
    except NoLearningRate:
        lr = recipe.lr
    return context.train(
        context.unregularised_network(),
        split,
        replace(recipe, lr=lr),
        MAX_STEPS,
        until=lambda module: context.accuracy(module, split) == 1,
    )


def _permutation(context: DiagnosticContext, n: int) -> torch.Tensor:
    return torch.randperm(n, generator=torch.Generator().manual_seed(context.seed + 1))


def _mean_of_last(losses: tuple[float, ...]) -> float:
    tail = losses[-max(1, len(losses) // 10) :]
    return sum(tail) / len(tail)


def _significant_accuracy(context: DiagnosticContext, n: int) -> float:
    """Return an accuracy on ``n`` images that guessing almost never reaches."""
    chance = context.chance
    return chance + SIGMAS * math.sqrt(chance * (1 - chance) / n)
