"""Checks of learning: the rate, a small subset learned by heart, and what labels say about pictures (lecture)."""

import math
from collections import Counter
from dataclasses import replace

import torch

from ...spaces.recipes.recipe import ENOUGH_DECAY
from ..data.dataset import Split
from ..training.evaluate import predict
from ..training.lr_finder import NoLearningRate, find_lr
from .context import Finding, Patient, Training

SMALL = 128  # images to be learned by heart
STEPS = 600  # for that, at most
ABSURD = 8.0  # times the rate that the rule finds
TIMID = 1000.0
FALLEN = 0.8  # of the first loss: it falls
SAME = 0.95  # of all images in one class: a constant prediction
SIGMAS = 3.0  # above chance


def rate(patient: Patient) -> Finding:
    """The recipe's learning rate against the rule's: the first of 1, 1/2, 1/4, ... at which the loss falls."""
    lr = patient.recipe.lr
    try:
        found = find_lr(patient.make(patient.seed), patient.data, patient.recipe, seed=patient.seed)
    except NoLearningRate as error:
        return Finding("rate", "bad", str(error), "check the gradients, the loss and the labels first")
    figures = {"lr": lr, "found": found.lr, "tries": len(found.tries)}
    evidence = f"lr {lr:g}; by the rule (start large, halve until the loss falls) {found.lr:g}"
    if lr > ABSURD * found.lr:
        return Finding(
            "rate", "bad", f"the learning rate is absurdly large: {evidence}", f"set lr = {found.lr:g}", figures
        )
    if lr < found.lr / TIMID:
        return Finding(
            "rate", "watch", f"the learning rate is very small: {evidence}", f"try lr = {found.lr:g}", figures
        )
    left = 1.0 if patient.recipe.schedule == "constant" else patient.recipe.lr_end
    if left > ENOUGH_DECAY:
        told = f"the learning rate ends at {left:g} of its start, above a hundredth; {evidence}"
        return Finding("rate", "watch", told, 'set schedule = "cosine" and lr_end = 0.01', figures)
    return Finding("rate", "good", evidence, "", figures)


def overfit(patient: Patient) -> Finding:
    """A small subset, nothing held back: the training error must come to zero, with any labels."""
    split = patient.subset(SMALL)
    own, params = _by_heart(patient, split), sum(p.numel() for p in patient.make(patient.seed).parameters())
    error, count = 1 - own.train_accuracy, len(split)
    first, last = own.losses[0], _end(own.losses)
    figures = {"error": error, "images": count, "steps": len(own.losses), "params": params, "losses": [first, last]}
    evidence = (
        f"training error {error:.1%} on {count} images after {len(own.losses)} steps, loss {first:.3g} to {last:.3g}"
    )
    if error == 0:
        shuffled = _by_heart(patient, Split(split.images, split.labels[_order(patient, count)]))
        left = figures["shuffled_error"] = 1 - shuffled.train_accuracy
        evidence += f"; with shuffled labels {left:.1%}"
        if left > 0:
            advice = "it learns what is alike and not by heart: put shortcuts or norms in, or raise its width"
            return Finding("overfit", "watch", f"shuffled labels are not learned: {evidence}", advice, figures)
        return Finding("overfit", "good", evidence, "", figures)
    if last < FALLEN * first and own.train_accuracy < _above_chance(patient, count):
        advice = "the loss is not the one that you want to be small: compare it with cross-entropy on the same scores"
        return Finding(
            "overfit", "bad", f"the loss is wrong: it falls, and accuracy stays at chance; {evidence}", advice, figures
        )
    if params < count * math.log2(patient.data.n_classes):
        advice = "raise its width or depth: more params and macs"
        told = f"the network is too small: {params:,} parameters for {count} images; {evidence}"
        return Finding("overfit", "bad", told, advice, figures)
    advice = "it is badly optimised: look at rate and gradients, then at the initialisation"
    return Finding(
        "overfit", "bad", f"the network is large enough and does not learn them; {evidence}", advice, figures
    )


def labels(patient: Patient) -> Finding:
    """What a short training by the recipe predicts: more than one class, and better than chance on new images."""
    short = patient.short
    if short.diverged:
        told = f"training by the recipe diverged at step {len(short.losses)}"
        return Finding("labels", "bad", told, "lower the learning rate; if it is low, check the gradients")
    said = predict(short.module, patient.data.val.images, patient.data).argmax(1).tolist()
    share = Counter(said).most_common(1)[0][1] / len(said)
    limit = _above_chance(patient, len(said))
    figures = {"train": short.train_accuracy, "val": short.val_accuracy, "chance": patient.chance, "same": share}
    evidence = (
        f"after {len(short.losses)} steps training accuracy {short.train_accuracy:.1%}, validation "
        f"{short.val_accuracy:.1%}, chance {patient.chance:.1%}"
    )
    if share > SAME and patient.chance < SAME:
        told = f"the prediction has collapsed: {share:.0%} of the images in one class; {evidence}"
        return Finding("labels", "bad", told, "lower the learning rate; look for dead layers and a wrong loss", figures)
    if short.val_accuracy < limit and short.train_accuracy > _above_chance(patient, len(patient.data.train)) + 0.05:
        told = f"labels say nothing about new images, as if they were shuffled; {evidence}"
        return Finding("labels", "bad", told, "check that pictures and labels are in the same order", figures)
    if short.val_accuracy < limit:
        return Finding(
            "labels", "watch", f"nothing is learned yet; {evidence}", "train longer, or look at rate", figures
        )
    return Finding("labels", "good", evidence, "", figures)


def _by_heart(patient: Patient, split: Split) -> Training:
    """A training on ``split`` at a rate that the rule allows, until there is no error."""
    recipe = replace(patient.bare, batch_size=min(patient.recipe.batch_size, 32), schedule="constant")
    try:
        data = replace(patient.data, train=split)
        lr = find_lr(patient.bare_network(), data, recipe, seed=patient.seed, n_images=len(split)).lr / 4
    except NoLearningRate:
        lr = recipe.lr
    return patient.train(
        patient.bare_network(),
        split,
        replace(recipe, lr=lr),
        STEPS,
        until=lambda module: patient.accuracy(module, split) == 1,
    )


def _order(patient: Patient, n: int) -> torch.Tensor:
    return torch.randperm(n, generator=torch.Generator().manual_seed(patient.seed + 1))


def _end(losses: tuple[float, ...]) -> float:
    tail = losses[-max(1, len(losses) // 10) :]
    return sum(tail) / len(tail)


def _above_chance(patient: Patient, n: int) -> float:
    """An accuracy on ``n`` images that guessing hardly ever has."""
    chance = patient.chance
    return chance + SIGMAS * math.sqrt(chance * (1 - chance) / n)
