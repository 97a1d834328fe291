"""Tables of a zero-shot search on the command line: what was tested beside what, and what its parts cost."""

from collections.abc import Mapping, Sequence
from typing import Any

from ...results.database.records import Trial
from ...results.database.zero_shot_records import MEASURES, OF_ZERO_SHOT, SELECTED_BY, SHOWN, is_zero_shot
from ...spaces.architectures.architecture import Architecture
from ...spaces.constrained.zero_shot_head import last_map, zero_shot_cost
from ...spaces.recipes.zero_shot_recipe import ZeroShotRecipe, recorded_recipe
from .tables import table

HEADERS = {"top1_unseen": "top1", "h_calibrated": "h_cal"}


def zero_shot_texts(found: Mapping[str, Any]) -> list[str]:
    """The table of methods, the costs of the chosen model and what the numbers mean."""
    columns = [HEADERS.get(name, name) for name in SHOWN]
    rows = [[row["method"], *(f"{row[name]:.3f}" for name in SHOWN)] for row in found["rows"]]
    title = (
        f"tested once, on {found['unseen']:,} unseen classes ({found['test_unseen']:,} images) and {found['seen']:,} "
        f"seen ones ({found['test_seen']:,} other images)"
    )
    earlier = ", ".join(map(str, found["earlier"]))
    again = [f"the run chose otherwise when it had fewer trials: tested before: {earlier}\n"] if earlier else []
    return [
        table(title, ("method", *columns), rows, left=("method",)),
        *again,
        costs_table(found["costs"], found["words"]),
        f"the model: {found['model']}, below the folder of the runs",
        f"h_cal is h_calibrated, top1 is top1_unseen. {MEASURES}",
        SELECTED_BY,
    ]


def zero_shot_words(
    trial: Trial, curve: Mapping[str, Sequence[tuple[int, float]]], found: Mapping[str, Any] | None
) -> list[str]:
    """What else there is to say of a zero-shot trial: its other figures at its best epoch, its head's costs.

    ``found`` is the table of its run: the chosen trial has it too.
    """
    if found is not None and found["trial"] == trial.trial:
        return [*(f"{name}: {value}" for name, value in _figures(trial, curve).items()), *zero_shot_texts(found)]
    if not is_zero_shot(trial):
        return []
    recipe, architecture = recorded_recipe(trial.recipe), Architecture.from_json(trial.architecture)
    assert isinstance(recipe, ZeroShotRecipe)
    head = zero_shot_cost(recipe, 0, architecture.classes, last_map(architecture))
    return [
        *(f"{name}: {value}" for name, value in _figures(trial, curve).items()),
        f"head: params {head.image.params:,}, macs {head.image.macs:,}; with it params "
        f"{trial.params + head.image.params:,}, macs {trial.macs + head.image.macs:,}, which the budget limits; a "
        f"class costs {head.per_class.params:,} numbers and {head.per_class.macs:,} macs for an image",
        SELECTED_BY,
    ]


def _figures(trial: Trial, curve: Mapping[str, Sequence[tuple[int, float]]]) -> dict[str, float]:
    """The figures at the best epoch that an ordinary trial does not have."""
    points = {name: dict(curve.get(name, ())) for name in OF_ZERO_SHOT}
    return {name: by_epoch[trial.best_epoch] for name, by_epoch in points.items() if trial.best_epoch in by_epoch}


def costs_table(costs: list[dict[str, Any]], words: int) -> str:
    """One row a part; the budget limits the first two together."""
    rows = [(part["part"], f"{part['params']:,}", f"{part['macs']:,}", part["runs"]) for part in costs]
    params, macs = (sum(part[name] for part in costs[:2]) for name in ("params", "macs"))
    rows.insert(2, ("the two, which the budget limits", f"{params:,}", f"{macs:,}", ""))
    title = f"what the parts cost, for texts of {words:,} words"
    return table(title, ("part", "params", "macs", "runs"), rows, left=("part", "runs"))
