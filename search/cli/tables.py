"""Tables: how trials, layers and costs are shown on the command line."""

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tabulate import tabulate

from ...results.database.records import Trial
from ...spaces.architectures.budget import format_count
from ...spaces.architectures.cost import LayerRow, Shared
from ...spaces.architectures.recorded import describe_recorded
from ...spaces.blocks.cost import Cost

if TYPE_CHECKING:
    from ...results.database.latency_records import (
        LatencyRecord,  # loads SQLAlchemy, which archsieve space does without
    )

UNITS = "macs: multiply-accumulates of convolutions and linear layers at batch 1; flops = 2 x macs"
ZERO_SHOT = ("form", "text", "k", "hidden", "loss", "calibration")
WIDEST = 48  # characters of an architecture or a recipe on one line


def trials_table(trials: Iterable[Trial], title: str = "", without: Container[str] = ()) -> str:
    """One row a trial: accuracy, costs, what it is; ``without`` the columns that say nothing here."""
    rows = [
        {
            "trial": trial.trial,
            "run": trial.run,
            "state": trial.state.value,
            "val_accuracy": "" if trial.val_accuracy is None else f"{trial.val_accuracy:.4f}",
            "params": f"{trial.params:,}",
            "macs": f"{trial.macs:,}",
            "latency_ms": "" if trial.latency_ms is None else f"{trial.latency_ms:.3g}",
            "architecture": describe_recorded(trial.architecture),
            "recipe": recipe_words(trial.recipe),
        }
        for trial in trials
    ]
    untimed = () if any(row["latency_ms"] for row in rows) else ("latency_ms",)
    headers = [name for name in (rows[0] if rows else ()) if name not in without and name not in untimed]
    cells = [[row[name] for name in headers] for row in rows]
    return table(title, headers, cells, left=("run", "state", "architecture", "recipe"))


def shared_words(shared: Shared) -> list[str]:
    """What the convolutions save by sharing their weights; nothing where there are none."""
    weights, local = shared
    if not weights:
        return []
    return [
        f"weight sharing: the convolutions have {weights:,} weights; locally connected layers of the same shapes would "
        f"have {local:,}, {local / weights:,.0f} times as many"
    ]


def recipe_words(recipe: Mapping[str, Any]) -> str:
    """The parts of a recipe that are usually searched."""
    names = ("lr", "weight_decay", "dropout", "epochs", *(ZERO_SHOT if "form" in recipe else ()))
    values = {name: recipe[name] for name in names if name in recipe}
    return " ".join(f"{name}={value if isinstance(value, str) else f'{value:.3g}'}" for name, value in values.items())


def latency_words(row: "LatencyRecord") -> str:
    """A trial's measurement in a line: what was measured, what had been predicted, and on what."""
    predicted = "" if row.predicted_ms is None else f", predicted {row.predicted_ms:.3g}"
    return (
        f"measured latency_ms: p50 {row.latency_ms_p50:.3g}, p90 {row.latency_ms_p90:.3g}{predicted} (batch "
        f"{row.batch_size}, {row.precision}, {row.threads} threads, n = {row.n} after {row.warmup} to "
        f"warm up, {row.machine}, torch {row.torch})"
    )


def layers_table(layers: Sequence[LayerRow], total: Cost, title: str = "") -> str:
    """One row for each layer that has parameters or multiply-accumulates, with its share of the whole."""
    headers = ("layer", "block", "out_shape", "params", "share", "macs", "share", "activations")
    rows = [
        (
            row.name,
            row.block,
            "x".join(str(side) for side in row.out_shape),
            f"{row.params:,}",
            share(row.params, total.params),
            f"{row.macs:,}",
            share(row.macs, total.macs),
            f"{row.activations:,}",
        )
        for row in layers
        if row.params or row.macs
    ]
    end = ("total", "", "", f"{total.params:,}", "", f"{total.macs:,}", "", f"{total.activations:,}")
    return table(title, headers, [*rows, end], left=("layer", "block"))


def share(part: int, whole: int) -> str:
    """``part`` of ``whole`` in per cent."""
    return f"{part / whole:.1%}" if whole else ""


def cost_words(price: Cost) -> str:
    """The costs in a line."""
    memory = f"{format_count(price.memory_bytes)}B of training memory at batch {price.batch_size}"
    return f"params {price.params:,}, macs {price.macs:,}, activations {price.activations:,}, {memory}"


def table(title: str, headers: Sequence[str], rows: Sequence[Sequence[Any]], left: Sequence[str]) -> str:
    """``rows`` under ``headers`` in plain text, the columns named in ``left`` flush left, numbers flush right."""
    long = ("architecture", "recipe")
    text = tabulate(
        rows,
        headers=headers,
        tablefmt="simple",
        colalign=["left" if name in left else "right" for name in headers] if rows else None,
        maxcolwidths=[WIDEST if name in long else None for name in headers] if set(long) & set(headers) else None,
        disable_numparse=True,
    )
    return f"{title}\n\n{text}\n" if title else f"{text}\n"
