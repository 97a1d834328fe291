"""Checks of hidden units: at the start, and of a trained network (Ranzato's rules for looking inside; lecture)."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from torch import Tensor

from .activation_statistics import LayerUnits, unit_statistics
from .context import Finding, Patient

IMAGES = 256
APART = 2.0  # spreads of two layers at the start differ by less
MOST_LOST = 0.01  # of all units, at the start
MOST_DEAD = 0.1  # of a layer's, once trained
SHOWN = 5  # units of a layer that are named in words; figures have them all
ALIKE = 0.5  # mean correlation above which a layer says little for its width


def start(patient: Patient) -> Finding:
    """Layers of an untrained network: similar spread everywhere, hardly a unit dead or saturated."""
    layers = unit_statistics(patient.make(patient.seed), _images(patient), training=True)
    if not layers:
        return Finding("start", "watch", "the network has no nonlinearity", "put one behind each convolution")
    spreads = {layer.name: layer.std for layer in layers}
    low, high = min(spreads, key=spreads.__getitem__), max(spreads, key=spreads.__getitem__)
    ratio = spreads[high] / max(spreads[low], 1e-12)
    lost, total = _lost(layers), sum(layer.units for layer in layers)
    gone = [layer.name for layer in layers if layer.dead + layer.constant == layer.units]
    figures = {"ratio": ratio, "lost": lost / total, "layers": _rows(layers)}
    evidence = f"spread {spreads[low]:.2g} ({low}) to {spreads[high]:.2g} ({high}), {lost} of {total} units lost"
    if gone:
        advice = "nothing passes it, whatever is learned: look at its bias and at what scales its input"
        return Finding(
            "start", "bad", f"the layer {', '.join(gone)} is dead before training; {evidence}", advice, figures
        )
    if lost / total > MOST_LOST or ratio > APART:
        advice = "initialise by He's rule for relu, or put a norm behind each convolution"
        return Finding("start", "watch", evidence, advice, figures)
    return Finding("start", "good", evidence, "", figures)


def units(patient: Patient) -> Finding:
    """Units of the trained network: alive, varied, not saturated; good ones are active on some images only."""
    layers = unit_statistics(patient.grown, _images(patient))
    figures = {"layers": _rows(layers)}
    bad = [layer for layer in layers if (layer.dead + layer.constant + layer.saturated) > MOST_DEAD * layer.units]
    active = sum(layer.active for layer in layers) / max(len(layers), 1)
    evidence = (
        f"{_lost(layers)} of {sum(layer.units for layer in layers)} units are lost; {active:.0%} active on average"
    )
    gone = [layer.name for layer in layers if layer.dead + layer.constant == layer.units]
    if gone:
        return Finding(
            "units",
            "bad",
            f"the layer {', '.join(gone)} is dead: no image makes it speak; {evidence}",
            "lower the learning rate, and start anew; look at its bias",
            figures,
        )
    if bad:
        told = ", ".join(
            f"{x.name} ({x.dead} dead{_named(x.dead_units)}, {x.constant} constant{_named(x.constant_units)}, "
            f"{x.saturated} saturated)"
            for x in bad[:3]
        )
        return Finding("units", "watch", f"{told}; {evidence}", "lower the learning rate, or use leaky-relu", figures)
    return Finding("units", "good", evidence, "", figures)


def maps(patient: Patient) -> Finding:
    """Feature maps of the trained network: uncorrelated, with variance; no two say the same."""
    layers = [layer for layer in unit_statistics(patient.grown, _images(patient)) if layer.units > 1]
    if not layers:
        return Finding("maps", "watch", "no layer has two feature maps", "make it wider")
    most = max(layers, key=lambda layer: layer.mean_correlation)
    same = [layer for layer in layers if layer.same]
    still = [layer for layer in layers if layer.low_variance > MOST_DEAD]
    evidence = (
        f"mean |correlation| up to {most.mean_correlation:.2f} ({most.name}, effective rank {most.rank:.1f} of "
        f"{most.units})"
    )
    figures = {"layers": _rows(layers)}
    if same:
        pairs = {layer.name: [f"{one} and {other}" for one, other in layer.same_pairs] for layer in same[:3]}
        told = ", ".join(f"{layer.name}: {layer.same} pairs{_named(pairs[layer.name])}" for layer in same[:3])
        return Finding("maps", "watch", f"maps that say the same ({told}); {evidence}", "make it narrower", figures)
    if still:
        told = ", ".join(
            f"{layer.name}: {len(layer.low_variance_units)}{_named(layer.low_variance_units)}" for layer in still[:3]
        )
        advice = "lower the learning rate, or make it narrower"
        return Finding("maps", "watch", f"maps that hardly vary ({told}); {evidence}", advice, figures)
    if most.mean_correlation > ALIKE:
        return Finding("maps", "watch", evidence, "its width is not used: make it narrower, or add dropout", figures)
    return Finding("maps", "good", evidence, "", figures)


def _images(patient: Patient) -> Tensor:
    return patient.inputs(patient.data.val.images[:IMAGES])


def _lost(layers: Sequence[LayerUnits]) -> int:
    return sum(layer.dead + layer.constant + layer.saturated for layer in layers)


def _named(units: Sequence[object]) -> str:
    """The first few of ``units`` behind a colon; nothing where there are none."""
    return f": {', '.join(map(str, units[:SHOWN]))}{', ...' if len(units) > SHOWN else ''}" if units else ""


def _rows(layers: Sequence[LayerUnits]) -> list[dict[str, Any]]:
    return [asdict(layer) for layer in layers]
