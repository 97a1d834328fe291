"""The checks of ``search.fidelity``, the ladder of fidelities of a search file."""

from typing import TYPE_CHECKING

from ...spaces.parameters.task_kinds import CLASSIFICATION
from ...spaces.recipes.fidelity import check_rungs
from ...spaces.recipes.recipe import NONE, RecipeSpace

if TYPE_CHECKING:
    from ..config.schema import SearchFile

KEY = "search.fidelity"


def check_fidelity(file: "SearchFile", recipes: RecipeSpace, task: str, side: int) -> None:
    """Raise ``ValueError`` for a ladder that cannot work with the other keys; ``side`` is that of the images."""
    rungs = file.search.rungs
    if not rungs:
        return
    check_rungs(rungs, KEY)
    fewest = int(min(recipes.ends("epochs")))
    if rungs[-1].epochs >= fewest:
        raise ValueError(
            f"{KEY} must end before the last epoch, because only epochs on all data are results, but its last rung "
            f"trains until epoch {rungs[-1].epochs} and recipe.epochs is {fewest}; raise recipe.epochs, or leave the "
            "rung out"
        )
    for number, rung in enumerate(rungs):
        if rung.image_size is not None and rung.image_size >= side:
            raise ValueError(
                f"{KEY}.{number}.image_size must be below that of the data, but got {rung.image_size} and {side}; "
                "lower it, or leave it out"
            )
    _check_parts(file, recipes, task)


def _check_parts(file: "SearchFile", recipes: RecipeSpace, task: str) -> None:
    """Raise ``ValueError`` for keys whose training cannot change its data."""
    smaller = any(rung.image_size is not None for rung in file.search.rungs)
    cannot = {
        'search.scheduler = "none"': file.search.scheduler == "none",
        "zero-shot data": task != CLASSIFICATION,
        "search.folds": file.search.folds is not None,
        "train.function": file.train.function is not None,
        "recipe.train other than all": set(recipes.ends("train")) != {"all"},
        "image_size and recipe.teacher": smaller and set(recipes.ends("teacher")) != {NONE},
        "image_size and space.networks": smaller and file.space.networks is not None,
    }
    for what, is_used in cannot.items():
        if is_used:
            raise ValueError(f"{KEY} cannot be used with {what}; change it, or leave {KEY} out")
