"""Commands that compare trials: results compare, results curve."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import DATABASE, Database, Imports, Json, import_modules, open_read_only
from .output import NOTHING_USABLE, show, show_json, show_message

if TYPE_CHECKING:
    from ...results.database.records import Trial

MAX_COLUMN_WIDTH = 36  # characters of an architecture on one line; narrow, because compare has a column per trial
Trials = Annotated[
    list[str], typer.Argument(metavar="TRIAL...", help="Trials: ids such as 17, RUN:NUMBER, or fingerprints.")
]


def compare(
    names: Trials,
    metric: Annotated[
        str | None, typer.Option(help="The metric to test. Default: that of the first trial's run.")
    ] = None,
    imports: Imports = None,
    database: Database = DATABASE,
    as_json: Json = False,
) -> None:
    """Compare trials: metrics, costs, recipe, choices and noise.

    The first trial is tested against each other one, on the stored predictions of the same validation images: by
    McNemar's exact test for an accuracy, by a paired bootstrap for other metrics.

    Example: archsieve results compare digits:0 digits:1
    """
    from ...results.analysis.differences import compare_pair
    from ...results.query.comparison import compare as side_by_side
    from ...results.query.trial_name import find_trial

    import_modules(imports)
    with open_read_only(database) as store:
        trials = [find_trial(store, name) for name in names]
        rows = side_by_side(trials)
        differences = [compare_pair(store, trials[0], other, metric) for other in trials[1:]]
    if as_json:
        ids = [str(trial.trial) for trial in trials]
        listed = [{"part": r.part, "name": r.name, "differs": r.differs, **_by(ids, r.values)} for r in rows]
        tested = [difference.to_json() for difference in differences]
        show_json({"trials": [_entry(trial) for trial in trials], "rows": listed, "differences": tested})
        return
    from textwrap import fill

    from .tables import table

    headers = ("", *(f"trial {trial.trial}" for trial in trials), "")
    networks = ("architecture", *(fill(_architecture_text(trial), MAX_COLUMN_WIDTH) for trial in trials), "")
    # a seed is a name, not a quantity: it has no thousands separators
    formats = [(row, str if row.name == "seed" else _cell) for row in rows]
    cells = [(_label(row), *map(cell, row.values), "differs" if row.differs else "") for row, cell in formats]
    show(table("", headers, [networks, *cells], left=("",)), *map(str, differences))


def curve(
    names: Trials,
    metric: Annotated[
        str | None, typer.Option(help="The metric to show. Default: that of the first trial's run.")
    ] = None,
    database: Database = DATABASE,
    as_json: Json = False,
) -> None:
    """Show a metric of trials for each epoch.

    Example: archsieve results curve digits:0 digits:1 --metric val_loss
    """
    from ...spaces.metrics.registry import stored_name
    from ...spaces.parameters.lookup import unknown
    from .output import curve_json
    from .tables import table

    trials = _named(names, database)
    with open_read_only(database) as store:
        curves = {trial.trial: store.curve(trial.trial) for trial in trials}
    if as_json:
        show_json([{**_entry(t), **curve_json(curves[t.trial])} for t in trials])
        return
    recorded = sorted({name for curve in curves.values() for name in curve})
    if not recorded:
        show_message("these trials have no recorded epoch")
        raise typer.Exit(NOTHING_USABLE)
    metric = stored_name(trials[0].metric if metric is None else metric)
    if metric not in recorded:
        raise ValueError(unknown("metric", metric, recorded))
    columns = {trial_id: dict(curve.get(metric, [])) for trial_id, curve in curves.items()}
    epochs = sorted({epoch for values in columns.values() for epoch in values})
    cells = [[str(epoch), *(_cell(values.get(epoch)) for values in columns.values())] for epoch in epochs]
    show(table(metric, ("epoch", *(f"trial {trial_id}" for trial_id in columns)), cells, left=()))


def _named(names: list[str], database: Any) -> list["Trial"]:
    from ...results.query.trial_name import find_trial

    with open_read_only(database) as store:
        return [find_trial(store, name) for name in names]


def _entry(trial: "Trial") -> dict[str, Any]:
    return {"trial": trial.trial, "run": trial.run, "fingerprint": trial.fingerprint}


def _by(ids: list[str], values: tuple[Any, ...]) -> dict[str, Any]:
    return {"values": dict(zip(ids, values, strict=True))}


def _architecture_text(trial: "Trial") -> str:
    from ...spaces.architectures.recorded import describe_recorded

    return describe_recorded(trial.architecture)


def _label(row: Any) -> str:
    return f"{row.part}.{row.name}" if row.part in ("recipe", "choices") else str(row.name)


def _cell(value: Any) -> str:
    if isinstance(value, bool | None):  # before int, because a bool is an int, too
        return "" if value is None else str(value).lower()
    if isinstance(value, float):
        # four decimals would show a small learning rate as 0.0000
        return f"{value:.4g}" if abs(value) < 0.01 else f"{value:.4f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
