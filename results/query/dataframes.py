"""Trials, learning curves and layers as pandas data frames, for notebooks."""

from collections.abc import Iterable
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from ..database.reader import StoreReader
from ..database.records import Trial

if TYPE_CHECKING:
    import pandas

_NESTED = ("recipe", "choices")
# val_error is a property of Trial, so fields() does not list it.
_SCALARS = [f.name for f in fields(Trial) if f.name not in (*_NESTED, "architecture", "metrics", "minimized", "curve")]
_SCALARS.append("val_error")
_LAYER = ("trial", "layer", "name", "kind", "out_shape", "params", "macs", "activations")


def frame(store: StoreReader, run: str | int | None = None) -> "pandas.DataFrame":
    """Return :func:`trials_frame` of the trials of ``run``, or of all runs."""
    return trials_frame(store.trials(run))


def trials_frame(trials: Iterable[Trial]) -> "pandas.DataFrame":
    """Return one row per trial, indexed by its id; recipe and choices are columns such as ``recipe.lr``.

    Each recorded metric is a column such as ``f1_macro``.
    """
    import pandas

    rows = [_flat(trial) for trial in trials]
    # Without rows, pandas has no column names; with rows it takes them from the rows, nested keys included.
    return pandas.DataFrame(rows, columns=None if rows else list(_SCALARS)).set_index("trial")


def _flat(trial: Trial) -> dict[str, Any]:
    nested = {f"{part}.{key}": value for part in _NESTED for key, value in getattr(trial, part).items()}
    return {name: getattr(trial, name) for name in _SCALARS} | dict(trial.metrics) | nested


def metrics_frame(store: StoreReader, run: str | int | None = None) -> "pandas.DataFrame":
    """Return one row per epoch of a trial, indexed by (trial, epoch), with a column per metric such as ``val_loss``.

    An epoch without a metric has NaN in its column, like an epoch whose metric was NaN.
    """
    import pandas

    rows = [
        {"trial": trial.trial, "epoch": epoch, "metric": name, "value": value}
        for trial in store.trials(run)
        for name, points in store.curve(trial.trial).items()
        for epoch, value in points
    ]
    long = pandas.DataFrame(rows, columns=["trial", "epoch", "metric", "value"])
    wide = long.pivot(index=["trial", "epoch"], columns="metric", values="value")
    # pivot() names the columns' axis "metric", which would print as a heading of the frame
    wide.columns.name = None
    return wide


def layers_frame(store: StoreReader, run: str | int | None = None) -> "pandas.DataFrame":
    """Return one row per layer of a trial's network, indexed by (trial, layer), layers counted from 0."""
    import pandas

    rows = [
        {"trial": trial.trial, "layer": index, **layer}
        for trial in store.trials(run)
        for index, layer in enumerate(store.layers(trial.fingerprint))
    ]
    return pandas.DataFrame(rows, columns=list(_LAYER)).set_index(["trial", "layer"])
