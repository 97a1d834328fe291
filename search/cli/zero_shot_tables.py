"""Tables of a zero-shot search for the command line: the final test with its baselines, and the costs of the parts."""

from collections.abc import Mapping, Sequence
from typing import Any

from ...results.database.records import ZERO_SHOT_METRICS, Trial
from ...results.database.zero_shot_records import (
    METRIC_NOTES,
    SELECTION_NOTE,
    TABLE_COLUMNS,
    better_baselines,
    failed_baselines,
    is_zero_shot,
)
from ...spaces.architectures.architecture import Architecture
from ...spaces.constrained.zero_shot_head import head_cost
from ...spaces.recipes.zero_shot_recipe import ZeroShotRecipe, recipe_from_json
from .tables import table

# shorter column names: the table has twelve columns
HEADERS = {"top1_unseen": "top1", "h_calibrated": "h_cal"}


def zero_shot_texts(result: Mapping[str, Any]) -> list[str]:
    """Return the table of methods, the costs of the selected model and what the numbers mean."""
    columns = [HEADERS.get(name, name) for name in TABLE_COLUMNS]
    rows = [[row["method"], *(f"{row[name]:.3f}" for name in TABLE_COLUMNS)] for row in result["rows"]]
    title = (
        f"tested once, on {result['unseen']:,} unseen classes ({result['test_unseen']:,} images) and "
        f"{result['seen']:,} seen ones ({result['test_seen']:,} other images)"
    )
    earlier = ", ".join(map(str, result["earlier"]))
    # test accuracy measured before more trials were added: the reader must know that the test set was used twice
    retested = [f"trials tested earlier, when the run had fewer trials: {earlier}\n"] if earlier else []
    return [
        table(title, ("method", *columns), rows, left=("method",)),
        *retested,
        *failed_baselines(result),
        *better_baselines(result),
        costs_table(result["costs"], result["words"]),
        f"model: {result['model']}, in the folder of the runs",
        f"h_cal is h_calibrated, top1 is top1_unseen. {METRIC_NOTES}",
        SELECTION_NOTE,
    ]


def zero_shot_trial_texts(
    trial: Trial, curve: Mapping[str, Sequence[tuple[int, float]]], result: Mapping[str, Any] | None
) -> list[str]:
    """Return the metrics that only a zero-shot trial has, at its best epoch, and the costs of its head.

    ``result`` is the final test of its run; it is added to the texts of the trial that was tested. The list is empty
    for a trial that is not zero-shot.
    """
    if result is not None and result["trial"] == trial.trial:
        return [*(f"{name}: {value}" for name, value in _metrics(trial, curve).items()), *zero_shot_texts(result)]
    if not is_zero_shot(trial):
        return []
    recipe, architecture = recipe_from_json(trial.recipe), Architecture.from_json(trial.architecture)
    assert isinstance(recipe, ZeroShotRecipe)
    head = head_cost(recipe, 0, architecture)
    return [
        *(f"{name}: {value}" for name, value in _metrics(trial, curve).items()),
        f"head: params {head.image.params:,}, macs {head.image.macs:,}; network and head, "
        f"which the budget limits together: params {trial.params + head.image.params:,}, macs "
        f"{trial.macs + head.image.macs:,}; each class adds {head.per_class.params:,} numbers and "
        f"{head.per_class.macs:,} macs per image",
        SELECTION_NOTE,
    ]


def _metrics(trial: Trial, curve: Mapping[str, Sequence[tuple[int, float]]]) -> dict[str, float]:
    """Return the metrics at the best epoch that only zero-shot trials have."""
    points = {name: dict(curve.get(name, ())) for name in ZERO_SHOT_METRICS}
    return {name: by_epoch[trial.best_epoch] for name, by_epoch in points.items() if trial.best_epoch in by_epoch}


def costs_table(costs: list[dict[str, Any]], words: int) -> str:
    """Return the costs of the model with one row for each part; the budget limits the first two parts together."""
    rows = [(part["part"], f"{part['params']:,}", f"{part['macs']:,}", part["runs"]) for part in costs]
    # the first two parts are the image network and its head
    params, macs = (sum(part[name] for part in costs[:2]) for name in ("params", "macs"))
    rows.insert(2, ("limited by the budget (sum)", f"{params:,}", f"{macs:,}", ""))
    title = f"costs of the parts, for texts of {words:,} words"
    return table(title, ("part", "params", "macs", "runs"), rows, left=("part", "runs"))
