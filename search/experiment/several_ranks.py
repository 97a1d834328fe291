"""The checks of a search whose trials train on several ranks, before anything starts."""

from typing import TYPE_CHECKING

from ...spaces.parameters.task_kinds import CLASSIFICATION
from ...spaces.recipes.recipe import RecipeSpace

if TYPE_CHECKING:
    from ..config.schema import SearchFile

KEY = "resources.ranks_per_trial"


def check_ranks(file: "SearchFile", recipes: RecipeSpace, task: str) -> None:
    """Raise ``ValueError`` for keys that cannot be used if several processes train the network of a trial."""
    ranks = file.resources.ranks
    if ranks == 1:
        return
    cannot = {
        "zero-shot data": task != CLASSIFICATION,
        "search.fidelity": bool(file.search.rungs),
        "search.folds": file.search.folds is not None,
        "train.function": file.train.function is not None,
    }
    for what, is_used in cannot.items():
        if is_used:
            raise ValueError(
                f"a trial on several ranks ({KEY} is {ranks}) cannot be used with {what}; leave it out, or train on "
                "one CPU or GPU"
            )
    smallest = int(min(recipes.ends("batch_size")))
    if smallest < 2 * ranks:
        raise ValueError(
            f"a batch needs two images for each rank, as batch norm needs, but recipe.batch_size is {smallest} "
            f"and {KEY} is {ranks}; use at least {2 * ranks}"
        )
