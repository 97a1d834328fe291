"""Tables and JSON: how trials, layers and costs are shown on the command line."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ..results.records import Trial
from ..spaces.architecture import Architecture
from ..spaces.budget import format_count
from ..spaces.cost import Cost, LayerCost

if TYPE_CHECKING:
    from rich.table import Table

UNITS = "macs: multiply-accumulates of convolutions and linear layers at batch 1; flops = 2 x macs"


def trial_json(trial: Trial) -> dict[str, Any]:
    """A trial as JSON's own types, by the names used everywhere."""
    values = {f.name: getattr(trial, f.name) for f in fields(trial)}
    values["val_error"] = trial.val_error
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in values.items()}


def trials_table(trials: Iterable[Trial], title: str | None = None) -> "Table":
    """One row a trial: accuracy, costs, what it is."""
    table = _table(title, ("trial", "run", "state", "val_accuracy", "params", "macs"), ("architecture", "recipe"))
    for trial in trials:
        accuracy = "" if trial.val_accuracy is None else f"{trial.val_accuracy:.4f}"
        price = f"{trial.params:,}", f"{trial.macs:,}"
        spelled = str(Architecture.from_json(trial.architecture))
        table.add_row(
            str(trial.trial), trial.run, trial.state.value, accuracy, *price, spelled, recipe_words(trial.recipe)
        )
    return table


def recipe_words(recipe: Mapping[str, Any]) -> str:
    """The parts of a recipe that are usually searched."""
    names = ("lr", "weight_decay", "dropout", "epochs")
    return " ".join(f"{name}={recipe[name]:.3g}" for name in names if name in recipe)


def layers_table(rows: Sequence[LayerCost], total: Cost, title: str | None = None) -> "Table":
    """One row for each layer that has parameters or multiply-accumulates, with its share of the whole."""
    numbers = ("out_shape", "params", "share", "macs", "share", "activations")
    table = _table(title, ("layer", "block"), (), numbers)
    for row in rows:
        if row.params or row.macs:
            shape = "x".join(str(side) for side in row.out_shape)
            table.add_row(
                row.name,
                row.block,
                shape,
                f"{row.params:,}",
                share(row.params, total.params),
                f"{row.macs:,}",
                share(row.macs, total.macs),
                f"{row.activations:,}",
            )
    table.add_section()
    table.add_row("total", "", "", f"{total.params:,}", "", f"{total.macs:,}", "", f"{total.activations:,}")
    return table


def share(part: int, whole: int) -> str:
    """``part`` of ``whole`` in per cent."""
    return f"{part / whole:.1%}" if whole else ""


def cost_words(price: Cost) -> str:
    """The costs in a line."""
    memory = f"{format_count(price.memory_bytes)}B of training memory at batch {price.batch_size}"
    return f"params {price.params:,}, macs {price.macs:,}, activations {price.activations:,}, {memory}"


def _table(title: str | None, left: Sequence[str], last: Sequence[str] = (), right: Sequence[str] = ()) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in left:
        table.add_column(name, no_wrap=True, justify="right" if name in ("val_accuracy", "params", "macs") else "left")
    for name in right:
        table.add_column(name, no_wrap=True, justify="right")
    for name in last:
        table.add_column(name, overflow="fold")
    return table
