"""Notes: what is worth knowing of a search before it starts, and is no mistake."""

from ...spaces.parameters.domains import Choice, Range
from ...spaces.recipes.recipe import ENOUGH_DECAY
from .experiment import Experiment


def notes(experiment: Experiment) -> list[str]:
    """Of ``experiment``: choices that are none, learning rates that hardly fall."""
    holes = experiment.recipes.holes
    found = [f"recipe.{name} is a list of one and so fixed" for name, hole in holes.items() if _single(hole)]
    entries = dict(experiment.recipes.entries)
    if "lr_end" in entries and _most(entries["lr_end"]) > ENOUGH_DECAY and "constant" not in _options(entries):
        found.append(
            f"recipe.lr_end may be {_most(entries['lr_end']):g}: a schedule that ends above a hundredth of its start "
            "leaves accuracy on the table more often than not; 0.01 or less is usual"
        )
    if "constant" in _options(entries):
        found.append('recipe.schedule may be "constant": the learning rate does not fall; "cosine" ends at a hundredth')
    search = experiment.file.search
    if search.scheduler in ("asha", "median") and search.grace_epochs == experiment.recipes.largest("epochs"):
        found.append(f"{search.scheduler} stops nobody: search.grace_epochs is the last epoch; lower it")
    return found


def _single(hole: object) -> bool:
    return isinstance(hole, Choice) and len(hole.options) == 1


def _most(entry: object) -> float:
    """The largest value that ``entry`` can take."""
    match entry:
        case Choice(options=options):
            return max(map(float, options))
        case Range(high=high):
            return float(high)
    return float(entry)  # type: ignore[arg-type]


def _options(entries: dict[str, object]) -> tuple[object, ...]:
    schedule = entries.get("schedule")
    return schedule.options if isinstance(schedule, Choice) else (schedule,)
