"""Importance: how much each entry of the recipe and each choice of the architecture affects the metric of trials."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..database.records import Trial
from ..query.run_summary import TrialChoices, evenly_spaced

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, numpy.dtype[numpy.float64]]

MIN_TRIALS = 12  # fewer trials are not analysed
MAX_TRIALS = 1000  # of a longer run, evenly spaced trials are used: more would only take longer
_N_FOLDS, _N_TREES, _N_SHUFFLES = 4, 60, 5


@dataclass(frozen=True)
class Importance:
    """The importance of one choice: the increase of the prediction error when its values are shuffled.

    ``mean`` and ``std`` (one standard deviation) are in units of the metric, over all folds and shuffles. The error of
    a fold is measured on trials that its random forest was not fitted on.
    """

    name: str
    mean: float
    std: float


@dataclass(frozen=True)
class Importances:
    """The importances of all choices, from ``n`` trials, most important first.

    ``r2`` is the coefficient of determination on trials that the forest was not fitted on: 1 for a perfect prediction,
    0 for one as good as the mean. At 0 or below, the importances have no meaning.
    """

    n: int
    r2: float
    choices: tuple[Importance, ...]

    @property
    def is_informative(self) -> bool:
        """Whether the forest predicts better than the mean."""
        return self.r2 > 0


def importances(trials: Sequence[Trial]) -> Importances | None:
    """Return the importance of each entry of the recipe and each choice that differs between the trials.

    Random forests (Breiman 2001) predict the metric that selects. The importance of a choice is its permutation
    importance, scored by the mean absolute error on held-out trials. A choice that a trial does not have, because it
    belongs to another kind of block, is a missing value. Test metrics are not used.

    Returns None for fewer than ``MIN_TRIALS`` finished trials, and if their choices or their metrics are all equal.
    """
    finished = [
        TrialChoices(trial.recipe, trial.choices, trial.metric_value)
        for trial in trials
        if trial.state.finished and trial.metric_value is not None
    ]
    return importances_of(evenly_spaced(finished, MAX_TRIALS))


def importances_of(scored: Sequence[TrialChoices]) -> Importances | None:
    """Return what :func:`importances` does, of all of these trials."""
    names, table = _table(scored)
    values = [trial.metric_value for trial in scored]
    if len(scored) < MIN_TRIALS or not names or len(set(values)) < 2:
        return None
    increases, r2 = _held_out(table, values)
    choices = [
        Importance(name, float(each.mean()), float(each.std())) for name, each in zip(names, increases, strict=True)
    ]
    return Importances(len(scored), r2, tuple(sorted(choices, key=lambda choice: (-choice.mean, choice.name))))


def _held_out(table: "Array", values: Sequence[Any]) -> "tuple[Array, float]":
    """Return the increases of the error on held-out trials, (columns, folds * shuffles), and R^2 over all folds."""
    import numpy as np
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.metrics import r2_score
    from sklearn.model_selection import KFold

    # Fixed seeds: the same trials give the same report.
    rng = np.random.default_rng(0)
    target = np.asarray(values, dtype=float)
    predicted, increases = np.empty_like(target), []
    for train, held_out in KFold(_N_FOLDS, shuffle=True, random_state=0).split(table):
        forest = RandomForestRegressor(_N_TREES, random_state=0, n_jobs=1).fit(table[train], target[train])
        predicted[held_out] = forest.predict(table[held_out])
        # One prediction for all shuffles: scikit-learn's permutation_importance predicts once per shuffle, which takes
        # ten times longer.
        shuffled = _shuffled(table[held_out], rng)
        errors = np.abs(
            forest.predict(shuffled.reshape(-1, table.shape[1])).reshape(shuffled.shape[:3]) - target[held_out]
        )
        increases.append(errors.mean(axis=2) - np.abs(predicted[held_out] - target[held_out]).mean())
    return np.concatenate(increases, axis=1), float(r2_score(target, predicted))


def _shuffled(table: "Array", rng: "numpy.random.Generator") -> "Array":
    """Return copies of ``table``, (columns, shuffles, rows, columns); entry i holds copies with column i shuffled."""
    import numpy as np

    rows, columns = table.shape
    copies = np.broadcast_to(table, (columns, _N_SHUFFLES, rows, columns)).copy()
    for column in range(columns):
        for copy in copies[column]:
            copy[:, column] = rng.permutation(copy[:, column])
    return copies


def _table(trials: Sequence[TrialChoices]) -> "tuple[list[str], Array]":
    """Return the names of the choices that differ, and their values as numbers, (trials, choices), NaN if missing."""
    import numpy as np

    rows = [
        {f"{part}.{key}": value for part in ("recipe", "choices") for key, value in getattr(trial, part).items()}
        for trial in trials
    ]
    columns = {name: [row.get(name) for row in rows] for name in dict.fromkeys(name for row in rows for name in row)}
    varied = {name: numbers for name, values in columns.items() if len(set(numbers := _numbers(values))) > 1}
    # With dtype float, numpy turns None into NaN, which the forest accepts as a missing value.
    table = np.array(list(varied.values()), dtype=float).T
    return list(varied), table


def _numbers(values: list[Any]) -> list[float | None]:
    """Return ``values`` as numbers, None where missing.

    If any value is not a number, all are replaced by the index of their text among the sorted texts; a list or a table
    is converted to text first.
    """
    if all(value is None or isinstance(value, int | float) for value in values):
        return [None if value is None else float(value) for value in values]
    index_by_text = {text: index for index, text in enumerate(sorted({str(value) for value in values}))}
    return [None if value is None else float(index_by_text[str(value)]) for value in values]
