"""Commands that ask the database freely: results query, sql, compare, curve."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import DATABASE, Database, Json, Run, reading, show, show_json
from .results_commands import NOTHING_USABLE, answer

if TYPE_CHECKING:
    from ...results.database.records import Trial

WIDEST = 36  # characters of an architecture on one line, side by side with others
Trials = Annotated[list[str], typer.Argument(metavar="TRIAL...", help="Ids, as in 17; or RUN:NUMBER; or fingerprints.")]


def query(
    question: Annotated[str, typer.Argument(help='A condition, as in "val_accuracy > 0.9 and params < 5M".')],
    run: Run = None,
    sort: Annotated[str, typer.Option(help="A column; a leading - puts the largest first.")] = "-val_accuracy",
    top: Annotated[int, typer.Option(min=1, help="At most so many.")] = 20,
    database: Database = DATABASE,
    as_json: Json = False,
) -> None:
    """Show the trials that a condition holds for, in any state.

    Columns: those of results list, and recipe.lr, choices.KEY, run, dataset, searcher, depth, flops. Numbers take k, M,
    G and T; texts stand in quotes. Conditions: = != < <= > >=, in (...), like "digits%", is null, and, or, not, ( ).
    """
    from ...results.query.expression_query import ask

    with reading(database) as store:
        found = ask(store, question, run=run, sort=sort, top=top)
    answer(list(found.trials), as_json, f"{found.matching} trials match, sorted by {sort}", found.why_none)
    if found.matching > len(found.trials):
        typer.echo(f"the first {len(found.trials)} of {found.matching} are shown; for more: --top", err=True)


def sql(
    statement: Annotated[
        str, typer.Argument(help='One statement, as in "SELECT state, count(*) FROM trial GROUP BY 1".')
    ],
    rows: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many rows.")] = 1000,
    timeout: Annotated[float, typer.Option(min=0.1, max=3600, help="Seconds that it may take.")] = 5,
    database: Database = DATABASE,
    as_json: Json = False,
) -> None:
    """Ask in SQL: one statement that only reads. The tables are described in docs/database.md."""
    from ...results.query.read_only_sql import ask_sql
    from .tables import table

    with reading(database) as store:
        found = ask_sql(store, statement, timeout_s=timeout, rows=rows)
    if as_json:
        show_json([dict(zip(found.columns, map(_plain, row), strict=True)) for row in found.rows])
    else:
        cells = [["" if value is None else str(_plain(value)) for value in row] for row in found.rows]
        words = [name for i, name in enumerate(found.columns) if any(isinstance(row[i], str) for row in found.rows)]
        show(table("", found.columns, cells, left=words))
    if found.more:
        typer.echo(f"the first {rows} rows are shown; for more: --rows", err=True)


def compare(names: Trials, database: Database = DATABASE, as_json: Json = False) -> None:
    """Set trials side by side: figures, costs, and the recipe and choices in which they differ."""
    from ...results.query.comparison import compare as side_by_side

    trials = _named(names, database)
    rows = side_by_side(trials)
    if as_json:
        ids = [str(trial.trial) for trial in trials]
        listed = [{"part": r.part, "name": r.name, "differs": r.differs, **_by(ids, r.values)} for r in rows]
        show_json({"trials": [_entry(trial) for trial in trials], "rows": listed})
        return
    from textwrap import fill

    from .tables import table

    headers = ("", *(f"trial {trial.trial}" for trial in trials), "")
    networks = ("architecture", *(fill(_words(trial), WIDEST) for trial in trials), "")
    seeds_plain = [(row, str if row.name == "seed" else _cell) for row in rows]
    cells = [(_label(row), *map(shown, row.values), "differs" if row.differs else "") for row, shown in seeds_plain]
    show(table("", headers, [networks, *cells], left=("",)))


def curve(
    names: Trials,
    metric: Annotated[str, typer.Option(help="Which figure.")] = "val_accuracy",
    database: Database = DATABASE,
    as_json: Json = False,
) -> None:
    """Show a figure of trials, epoch by epoch."""
    from ...spaces.parameters.lookup import unknown
    from .tables import table
    from .trial_json import json_curve

    trials = _named(names, database)
    with reading(database) as store:
        curves = {trial.trial: store.curve(trial.trial) for trial in trials}
    if as_json:
        show_json([{**_entry(t), "curve": json_curve(curves[t.trial])} for t in trials])
        return
    recorded = sorted({name for found in curves.values() for name in found})
    if not recorded:
        typer.echo("no epoch of these trials is recorded", err=True)
        raise typer.Exit(NOTHING_USABLE)
    if metric not in recorded:
        raise ValueError(unknown("metric", metric, recorded))
    columns = {trial_id: dict(found.get(metric, [])) for trial_id, found in curves.items()}
    epochs = sorted({epoch for values in columns.values() for epoch in values})
    cells = [[str(epoch), *(_cell(values.get(epoch)) for values in columns.values())] for epoch in epochs]
    show(table(metric, ("epoch", *(f"trial {trial_id}" for trial_id in columns)), cells, left=()))


def _named(names: list[str], database: Any) -> list["Trial"]:
    from ...results.query.trial_name import trial_named

    with reading(database) as store:
        return [trial_named(store, name) for name in names]


def _entry(trial: "Trial") -> dict[str, Any]:
    return {"trial": trial.trial, "run": trial.run, "fingerprint": trial.fingerprint}


def _by(ids: list[str], values: tuple[Any, ...]) -> dict[str, Any]:
    return {"values": dict(zip(ids, values, strict=True))}


def _words(trial: "Trial") -> str:
    from ...spaces.architectures.architecture import Architecture

    return str(Architecture.from_json(trial.architecture))


def _label(row: Any) -> str:
    return f"{row.part}.{row.name}" if row.part in ("recipe", "choices") else str(row.name)


def _cell(value: Any) -> str:
    if isinstance(value, bool | None):
        return "" if value is None else str(value).lower()
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 0.01 else f"{value:.4f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, int | float | str) else str(value)
