"""Tables of trials, layers and costs for the command line."""

import shutil
import sys
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from tabulate import tabulate

from ...results.database.records import DEVICE_COSTS, Trial
from ...spaces.architectures.budget import format_count
from ...spaces.architectures.cost import LayerRow, Shared
from ...spaces.architectures.recorded import describe_recorded
from ...spaces.blocks.cost import Cost
from ...spaces.metrics.registry import ACCURACY, stored_name
from .output import share_text

if TYPE_CHECKING:
    from ...results.database.latency_records import (
        LatencyRecord,  # its module loads SQLAlchemy, which `archsieve space` does not need
    )

UNITS = "macs: multiply-accumulates of convolutions and linear layers at batch 1; flops = 2 x macs"
ZERO_SHOT = ("form", "text", "k", "hidden", "loss", "calibration")
MAX_COLUMN_WIDTH = 48  # characters; longer architectures and recipes are wrapped
NARROWER = (36, 24)  # the same in a narrow terminal
# Columns of a table of trials that may be left out, the least important first.
LEAST_IMPORTANT = ("recipe", "flash_bytes", "ram_bytes", "state", "architecture", "run", "latency_ms", "macs")


def readable(what: str, make: Callable[[], Iterable[str]]) -> list[str]:
    """Return the lines that ``make`` returns, or one with the reason why the records ``what`` cannot be shown.

    A database from elsewhere may hold values of any form, and one of them must not hide the others.
    """
    try:
        return list(make())
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, AssertionError) as error:
        return [f"{what} cannot be shown: its records have another form ({type(error).__name__}: {str(error)[:200]})"]


def trials_table(
    trials: Iterable[Trial],
    title: str = "",
    without: Container[str] = (),
    metrics: Iterable[str] = (),
    columns: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> str:
    """Return a table with one row for each trial; the columns named in ``without`` are left out.

    The metrics that select in the runs of the trials are columns, and so are ``metrics`` and the accuracy. ``columns``
    are further columns after them, with one text for each trial.
    """
    trials = list(trials)
    selecting = sorted({*metrics, *(trial.metric for trial in trials)} - {ACCURACY})
    rows = [
        {
            "trial": trial.trial,
            "run": trial.run,
            "state": trial.state.value,
            **{name: share_text(trial.metrics.get(name)) for name in selecting},
            "val_accuracy": share_text(trial.val_accuracy),
            **{name: texts[number] for name, texts in columns.items()},
            "params": f"{trial.params:,}",
            "macs": f"{trial.macs:,}",
            **{name: _cell(getattr(trial, name)) for name in DEVICE_COSTS},
            "latency_ms": "" if trial.latency_ms is None else f"{trial.latency_ms:.3g}",
            "architecture": describe_recorded(trial.architecture),
            "recipe": recipe_line(trial.recipe),
        }
        for number, trial in enumerate(trials)
    ]
    # most searches have no limit of latency or memory: a column of empty cells would only make the table wider
    empty = [name for name in ("latency_ms", *DEVICE_COSTS) if not any(row[name] for row in rows)]
    headers = [name for name in (rows[0] if rows else ()) if name not in without and name not in empty]
    return _fitting_table(title, headers, rows, terminal_width())


def terminal_width() -> int | None:
    """Return the columns of the terminal that stdout is; None if it is none, so that files and pipes get everything."""
    if not sys.stdout.isatty():
        return None
    return shutil.get_terminal_size().columns


def _fitting_table(title: str, headers: Sequence[str], rows: Sequence[Mapping[str, Any]], width: int | None) -> str:
    """Return a table of trials in at most ``width`` columns of text: narrower texts, then fewer columns.

    A last line names the columns that are left out. Identity, metrics and parameters are never left out.
    """
    left = ("run", "state", "architecture", "recipe")
    optional = [name for name in LEAST_IMPORTANT if name in headers]
    text, note = "", ""
    for dropped in range(len(optional) + 1):
        kept = [name for name in headers if name not in optional[:dropped]]
        cells = [[row[name] for name in kept] for row in rows]
        if dropped:
            names = ", ".join(optional[:dropped])
            note = f"left out, as the terminal has {width} columns: {names}; see results show TRIAL\n"
        for column_width in (MAX_COLUMN_WIDTH, *NARROWER):
            text = table("", kept, cells, left, column_width)  # a long title is wrapped by the terminal
            if width is None or max(map(len, text.splitlines()), default=0) <= width:
                return f"{title}\n\n{text}{note}"
    return f"{title}\n\n{text}{note}"


def _cell(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def selected_text(trial: Trial) -> str:
    """Return the name and the value of the metric that selects in the run of ``trial``."""
    return f"{stored_name(trial.metric)} {share_text(trial.metric_value)}"


def shared_weights_line(shared: Shared) -> list[str]:
    """Return a line on what convolutions save by sharing weights; an empty list for a network without convolutions."""
    weights, local = shared
    if not weights:
        return []
    return [
        f"weight sharing: the convolutions have {weights:,} weights; locally connected layers of the same shapes would "
        f"have {local:,}, {local / weights:,.0f} times as many"
    ]


def recipe_line(recipe: Mapping[str, Any]) -> str:
    """Return the recipe keys that are usually searched, as ``key=value`` pairs."""
    names = ("lr", "weight_decay", "dropout", "epochs", *(ZERO_SHOT if "form" in recipe else ()))
    values = {name: recipe[name] for name in names if name in recipe}
    numbers = {name: f"{value:.3g}" for name, value in values.items() if isinstance(value, int | float)}
    return " ".join(f"{name}={numbers.get(name, value)}" for name, value in values.items())


def latency_line(row: "LatencyRecord") -> str:
    """Return a trial's latency measurement in one line: measured and predicted milliseconds, machine and settings."""
    predicted = "" if row.predicted_ms is None else f", predicted {row.predicted_ms:.3g}"
    return (
        f"measured latency_ms: p50 {row.latency_ms_p50:.3g}, p90 {row.latency_ms_p90:.3g}{predicted} (batch "
        f"{row.batch_size}, {row.precision}, {row.threads} threads, n = {row.n} after {row.warmup} "
        f"warm-up passes, {row.machine}, torch {row.torch})"
    )


def layers_table(layers: Sequence[LayerRow], total: Cost, title: str = "", ram_bytes: Sequence[int | None] = ()) -> str:
    """Return a table with one row for each layer that has parameters or multiply-accumulates, and its share of them.

    With ``ram_bytes`` of each layer the last column is the memory on a device while it runs, and the layer of the peak
    has a row in any case. It is empty for a layer that is part of the one before it.
    """
    known = [size or 0 for size in ram_bytes]
    peak = known.index(max(known)) if any(known) else None
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
            *([f"{known[index]:,}" if known[index] else ""] if peak is not None else []),
        )
        for index, row in enumerate(layers)
        if row.params or row.macs or index == peak
    ]
    end = ("total", "", "", f"{total.params:,}", "", f"{total.macs:,}", "", f"{total.activations:,}")
    ram = ("ram",) if peak is not None else ()
    largest = (f"{known[peak]:,}",) if peak is not None else ()
    return table(title, (*headers, *ram), [*rows, (*end, *largest)], left=("layer", "block"))


def share(part: int, whole: int) -> str:
    """Return ``part`` of ``whole`` in percent; an empty text if ``whole`` is 0."""
    return f"{part / whole:.1%}" if whole else ""


def cost_line(cost: Cost) -> str:
    """Return the costs in one line."""
    memory = f"{format_count(cost.memory_bytes)}B of training memory at batch {cost.batch_size}"
    return f"params {cost.params:,}, macs {cost.macs:,}, activations {cost.activations:,}, {memory}"


def table(
    title: str,
    headers: Sequence[str],
    rows: Sequence[Sequence[Any]],
    left: Sequence[str],
    column_width: int = MAX_COLUMN_WIDTH,
) -> str:
    """Return ``rows`` under ``headers`` as plain text; columns in ``left`` are left-aligned, others right-aligned.

    Architectures and recipes are wrapped at ``column_width`` characters.
    """
    wrapped = ("architecture", "recipe")
    text = tabulate(
        rows,
        headers=headers,
        tablefmt="simple",
        colalign=["left" if name in left else "right" for name in headers] if rows else None,
        maxcolwidths=[column_width if name in wrapped else None for name in headers]
        if set(wrapped) & set(headers)
        else None,
        disable_numparse=True,  # cells are formatted already; tabulate would remove their digits and commas
    )
    return f"{title}\n\n{text}\n" if title else f"{text}\n"
