"""Importance: which choices the accuracy of the trials hung on, as far as the trials can tell."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..database.records import Trial

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, numpy.dtype[numpy.float64]]

LEAST = 12  # trials below which no forest is grown
MOST = 2000  # trials that it sees, spread evenly over the run: more only take longer
_FOLDS, _TREES, _SHUFFLES = 4, 60, 5


@dataclass(frozen=True)
class Importance:
    """How much worse the accuracy is predicted when a choice is shuffled, in points of accuracy.

    ``mean`` and ``spread`` (one standard deviation) are over folds that the forest did not see, and over shuffles.
    """

    name: str
    mean: float
    spread: float


@dataclass(frozen=True)
class Importances:
    """What a forest says of ``n`` trials; ``r2`` is how well it predicts trials that it has not seen.

    ``r2`` is 1 for a perfect prediction and 0 for always saying the mean: at 0 or below, the choices tell nothing.
    """

    n: int
    r2: float
    choices: tuple[Importance, ...]

    @property
    def telling(self) -> bool:
        """Whether the forest knows more than the mean."""
        return self.r2 > 0


def importances(trials: Sequence[Trial]) -> Importances | None:
    """The importance of every part of the recipe and every choice that varied; None where there are too few trials.

    Random forests (Breiman 2001) predict the validation accuracy; each choice is shuffled among trials that its
    forest has not seen (permutation importance, scored by the mean absolute error). A choice that a trial did not
    have, for it belongs to another block, is missing rather than a value. Test accuracy is not looked at.
    """
    scored = [trial for trial in trials if trial.state.finished and trial.val_accuracy is not None]
    scored = scored[:: -(-len(scored) // MOST) or 1]
    names, table = _table(scored)
    accuracies = [trial.val_accuracy for trial in scored]
    if len(scored) < LEAST or not names or len(set(accuracies)) < 2:
        return None
    drops, r2 = _held_out(table, accuracies)
    told = [Importance(name, float(drop.mean()), float(drop.std())) for name, drop in zip(names, drops, strict=True)]
    return Importances(len(scored), r2, tuple(sorted(told, key=lambda choice: (-choice.mean, choice.name))))


def _held_out(table: "Array", accuracies: Sequence[Any]) -> "tuple[Array, float]":
    """For each column its drops, (columns, folds * shuffles), and R^2 over all folds."""
    import numpy as np
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.metrics import r2_score
    from sklearn.model_selection import KFold

    rng = np.random.default_rng(0)
    target = np.asarray(accuracies, dtype=float)
    predicted, drops = np.empty_like(target), []
    for seen, unseen in KFold(_FOLDS, shuffle=True, random_state=0).split(table):
        forest = RandomForestRegressor(_TREES, random_state=0, n_jobs=1).fit(table[seen], target[seen])
        predicted[unseen] = forest.predict(table[unseen])
        # one call for all shuffles: scikit-learn's permutation_importance calls the forest for each, ten times slower
        shuffled = _shuffled(table[unseen], rng)
        errors = np.abs(
            forest.predict(shuffled.reshape(-1, table.shape[1])).reshape(shuffled.shape[:3]) - target[unseen]
        )
        drops.append(errors.mean(axis=2) - np.abs(predicted[unseen] - target[unseen]).mean())
    return np.concatenate(drops, axis=1), float(r2_score(target, predicted))


def _shuffled(table: "Array", rng: "numpy.random.Generator") -> "Array":
    """Copies of ``table``, (columns, shuffles, rows, columns): in the copies of a column that one is shuffled."""
    import numpy as np

    rows, columns = table.shape
    copies = np.broadcast_to(table, (columns, _SHUFFLES, rows, columns)).copy()
    for column in range(columns):
        for copy in copies[column]:
            copy[:, column] = rng.permutation(copy[:, column])
    return copies


def _table(trials: Sequence[Trial]) -> "tuple[list[str], Array]":
    """The choices that varied, and a row for each trial; words become the places of their sorted selves."""
    import numpy as np

    rows = [
        {f"{part}.{key}": value for part in ("recipe", "choices") for key, value in getattr(trial, part).items()}
        for trial in trials
    ]
    columns = {name: [row.get(name) for row in rows] for name in dict.fromkeys(name for row in rows for name in row)}
    varied = {name: numbers for name, values in columns.items() if len(set(numbers := _numbers(values))) > 1}
    table = np.array(list(varied.values()), dtype=float).T
    return list(varied), table


def _numbers(values: list[Any]) -> list[float | None]:
    """``values`` as numbers, None where there is none; a list or a table counts as the word that writes it."""
    if all(value is None or isinstance(value, int | float) for value in values):
        return [None if value is None else float(value) for value in values]
    words = {word: place for place, word in enumerate(sorted({str(value) for value in values}))}
    return [None if value is None else float(words[str(value)]) for value in values]
