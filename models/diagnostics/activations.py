"""Checks of hidden units, before and after training (Ranzato's rules for inspecting a network; lecture)."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from torch import Tensor

from .activation_statistics import LayerUnits, unit_statistics
from .context import DiagnosticContext, Finding

N_IMAGES = 256
MAX_SPREAD_RATIO = 2.0  # between the largest and the smallest output deviation of an untrained network's layers
MAX_LOST_SHARE = 0.01  # of all units before training
MAX_DEAD_SHARE = 0.1  # of a layer's units after training
MAX_NAMED = 5  # units of a layer named in the evidence; the metrics list all
MAX_MEAN_CORRELATION = 0.5  # above it the layer carries little information for its width


def start(context: DiagnosticContext) -> Finding:
    """Check the layers before training: similar output spread in all layers, almost no unit dead or saturated."""
    # training mode: running statistics of batch norm are still at their initial values
    layers = unit_statistics(context.make(context.seed), _images(context), training=True)
    if not layers:
        return Finding("start", "watch", "the network has no nonlinearity", "add one after each convolution")
    spreads = {layer.name: layer.std for layer in layers}
    low, high = min(spreads, key=spreads.__getitem__), max(spreads, key=spreads.__getitem__)
    ratio = spreads[high] / max(spreads[low], 1e-12)
    lost, total = _lost(layers), sum(layer.units for layer in layers)
    dead_layers = _dead_layers(layers)
    metrics = {"ratio": ratio, "lost": lost / total, "layers": _rows(layers)}
    evidence = (
        f"output deviation {spreads[low]:.2g} ({low}) to {spreads[high]:.2g} ({high}), {lost} of {total} units dead, "
        "constant or saturated"
    )
    if dead_layers:
        message = f"the layer {', '.join(dead_layers)} is dead before training; {evidence}"
        advice = "no signal passes this layer, so training cannot help; check its bias and the scale of its input"
        return Finding("start", "bad", message, advice, metrics)
    if lost / total > MAX_LOST_SHARE or ratio > MAX_SPREAD_RATIO:
        advice = "use He initialisation for relu, or add a norm after each convolution"
        return Finding("start", "watch", evidence, advice, metrics)
    return Finding("start", "good", evidence, "", metrics)


def units(context: DiagnosticContext) -> Finding:
    """Check the units of the trained network: not dead, not constant, not saturated.

    A useful unit is active for some images only; the evidence reports the mean share of positive outputs.
    """
    layers = unit_statistics(context.trained_network, _images(context))
    metrics = {"layers": _rows(layers)}
    bad = [layer for layer in layers if (layer.dead + layer.constant + layer.saturated) > MAX_DEAD_SHARE * layer.units]
    active = sum(layer.active for layer in layers) / max(len(layers), 1)
    evidence = (
        f"{_lost(layers)} of {sum(layer.units for layer in layers)} units are dead, constant or saturated; "
        f"{active:.0%} active on average"
    )
    dead_layers = _dead_layers(layers)
    if dead_layers:
        message = f"the layer {', '.join(dead_layers)} is dead: its units are constant for every image; {evidence}"
        advice = "lower the learning rate and train again from the start; check the layer's bias"
        return Finding("units", "bad", message, advice, metrics)
    if bad:
        named = ", ".join(
            f"{x.name} ({x.dead} dead{_first_of(x.dead_units)}, {x.constant} constant{_first_of(x.constant_units)}, "
            f"{x.saturated} saturated)"
            for x in bad[:3]
        )
        return Finding("units", "watch", f"{named}; {evidence}", "lower the learning rate, or use leaky-relu", metrics)
    return Finding("units", "good", evidence, "", metrics)


def maps(context: DiagnosticContext) -> Finding:
    """Check the feature maps of the trained network: enough variance, low correlation, no two maps the same."""
    layers = [layer for layer in unit_statistics(context.trained_network, _images(context)) if layer.units > 1]
    if not layers:
        return Finding("maps", "watch", "no layer has two feature maps", "make the network wider")
    most = max(layers, key=lambda layer: layer.mean_correlation)
    same = [layer for layer in layers if layer.same]
    low_variance = [layer for layer in layers if layer.low_variance > MAX_DEAD_SHARE]
    evidence = (
        f"mean |correlation| up to {most.mean_correlation:.2f} ({most.name}, effective rank {most.rank:.1f} of "
        f"{most.units})"
    )
    metrics = {"layers": _rows(layers)}
    if same:
        pairs = {layer.name: [f"{one} and {other}" for one, other in layer.same_pairs] for layer in same[:3]}
        named = ", ".join(f"{layer.name}: {layer.same} pairs{_first_of(pairs[layer.name])}" for layer in same[:3])
        message = f"pairs of maps are nearly identical ({named}); {evidence}"
        return Finding("maps", "watch", message, "make the layer narrower", metrics)
    if low_variance:
        named = ", ".join(
            f"{layer.name}: {len(layer.low_variance_units)}{_first_of(layer.low_variance_units)}"
            for layer in low_variance[:3]
        )
        advice = "lower the learning rate, or make the layer narrower"
        return Finding("maps", "watch", f"maps with very low variance ({named}); {evidence}", advice, metrics)
    if most.mean_correlation > MAX_MEAN_CORRELATION:
        advice = "the layer does not use its width: make it narrower, or add dropout"
        return Finding("maps", "watch", evidence, advice, metrics)
    return Finding("maps", "good", evidence, "", metrics)


def _images(context: DiagnosticContext) -> Tensor:
    return context.inputs(context.data.val.images[:N_IMAGES])


def _lost(layers: Sequence[LayerUnits]) -> int:
    return sum(layer.dead + layer.constant + layer.saturated for layer in layers)


def _dead_layers(layers: Sequence[LayerUnits]) -> list[str]:
    """Return the names of the layers whose units are all dead or constant."""
    return [layer.name for layer in layers if layer.dead + layer.constant == layer.units]


def _first_of(units: Sequence[object]) -> str:
    """Return the first few of ``units`` after a colon, or an empty string without units."""
    return f": {', '.join(map(str, units[:MAX_NAMED]))}{', ...' if len(units) > MAX_NAMED else ''}" if units else ""


def _rows(layers: Sequence[LayerUnits]) -> list[dict[str, Any]]:
    return [asdict(layer) for layer in layers]
