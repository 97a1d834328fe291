"""Bayesian search by Optuna's tree-structured Parzen estimator (Bergstra et al. 2011), kept inside the budget."""

import random
import warnings
from typing import TYPE_CHECKING, Any

from ...results.records import History, Trial, TrialState
from ...spaces.choices import Choice, Range
from ...spaces.neighbours import mutate, repair
from ...spaces.recipe import Recipe
from ...spaces.space import Decisions
from .contract import Proposal, Searcher
from .uniform import Uniform

if TYPE_CHECKING:
    import optuna

STARTUP = 10  # finished trials before the estimator is asked; until then, uniform over what fits
DRAWS = 4  # draws of the estimator, each repaired and varied, before a uniform sample is taken instead
MUTATIONS = 8  # changes tried on a draw that has been tried already


class TPE(Searcher):
    """Optuna proposes, the sieve repairs: a draw outside the budget is moved inside by as few decisions as it takes,
    one already tried to a neighbour that is new.

    The study is rebuilt from history at each ask, so nothing of Optuna's has to survive. Trials that a scheduler
    stopped are pruned ones to Optuna, which ranks them behind those that completed, the later stopped before the
    earlier, and only those stopped at the same epoch by their accuracy: a short trial is not compared with a long one.
    Failed trials rank last, so that what diverged or ran out of memory is not tried around again.
    """

    def ask(self, history: History, rng: random.Random) -> Proposal | None:
        if len(history.finished) < STARTUP:
            return Uniform(self.sieve, self.recipes).ask(history, rng)
        study = self._study(history, rng)
        for _ in range(DRAWS):
            trial = study.ask()
            decisions = self._new(self._draw(trial), history, rng)
            if decisions is not None:
                architecture = self.sieve.space.architecture(decisions)
                return Proposal(architecture, self._draw_recipe(trial), decisions)
        return Uniform(self.sieve, self.recipes).ask(history, rng)

    def _draw(self, trial: "optuna.Trial") -> dict[str, int]:
        """The estimator's decisions, inside the budget or not."""
        decisions: dict[str, int] = {}

        def pick(path: str, options: tuple[Any, ...]) -> int:
            decisions[path] = _suggest(trial, path, _places(options))
            return decisions[path]

        self.sieve.space.fill(pick)
        return decisions

    def _new(self, decisions: Decisions, history: History, rng: random.Random) -> dict[str, int] | None:
        """``decisions`` moved into the budget and, where tried already, on to a neighbour that is new."""
        inside = repair(self.sieve, decisions, rng)
        for _ in range(MUTATIONS):
            if inside is None:
                return None
            if self.sieve.space.architecture(inside).fingerprint not in history.fingerprints:
                return inside
            inside = mutate(self.sieve, inside, rng)
        return None

    def _draw_recipe(self, trial: "optuna.Trial") -> Recipe:
        holes = self.recipes.holes.items()
        return self.recipes.fill(
            {name: _suggest(trial, _recipe_path(name), _distribution(hole)) for name, hole in holes}
        )

    def _study(self, history: History, rng: random.Random) -> "optuna.Study":
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        study = optuna.create_study(direction="maximize", sampler=_sampler(rng.getrandbits(32)))
        study.add_trials([self._frozen(trial) for trial in history])
        return study

    def _frozen(self, trial: Trial) -> "optuna.trial.FrozenTrial":
        """A past trial as Optuna knows it."""
        import optuna

        distributions = self._distributions(trial)
        values = {**trial.choices, **{_recipe_path(name): value for name, value in trial.recipe.items()}}
        return optuna.create_trial(
            **_outcome(trial),
            params={path: values[path] for path in distributions},
            distributions=distributions,
        )

    def _distributions(self, trial: Trial) -> "dict[str, optuna.distributions.BaseDistribution]":
        """What each of the trial's own choices was chosen from."""
        found = {_recipe_path(name): _distribution(hole) for name, hole in self.recipes.holes.items()}

        def replay(path: str, options: tuple[Any, ...]) -> int:
            found[path] = _places(options)
            return int(trial.choices[path])

        self.sieve.space.fill(replay)
        return found


def _sampler(seed: int) -> "optuna.samplers.TPESampler":
    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(
            seed=seed, n_startup_trials=1, multivariate=True, group=True, constant_liar=True
        )


def _outcome(trial: Trial) -> dict[str, Any]:
    """State and score in Optuna's words: complete, pruned with its accuracy at its last epoch, or still running."""
    from optuna.trial import TrialState as Optunas

    if not trial.state.final:
        return {"state": Optunas.RUNNING}
    if trial.state is TrialState.COMPLETED and trial.val_accuracy is not None:
        return {"state": Optunas.COMPLETE, "value": trial.val_accuracy}
    stopped = trial.state is TrialState.STOPPED_EARLY and trial.val_accuracy is not None
    return {
        "state": Optunas.PRUNED,
        "intermediate_values": {trial.epochs_done: trial.val_accuracy} if stopped else {},  # none: the worst of all
    }


def _recipe_path(name: str) -> str:
    return f"recipe.{name}"


def _places(options: tuple[Any, ...]) -> "optuna.distributions.BaseDistribution":
    """Where among ``options``: in order where they are rising numbers, else without order."""
    import optuna

    numbers = all(isinstance(option, int | float) and not isinstance(option, bool) for option in options)
    if numbers and list(options) == sorted(options):
        return optuna.distributions.IntDistribution(0, len(options) - 1)
    return optuna.distributions.CategoricalDistribution(range(len(options)))


def _distribution(hole: Choice | Range) -> "optuna.distributions.BaseDistribution":
    import optuna

    if isinstance(hole, Choice):
        return optuna.distributions.CategoricalDistribution(hole.options)
    if hole.integer:
        return optuna.distributions.IntDistribution(int(hole.low), int(hole.high), log=hole.log)
    return optuna.distributions.FloatDistribution(hole.low, hole.high, log=hole.log)


def _suggest(trial: "optuna.Trial", path: str, distribution: "optuna.distributions.BaseDistribution") -> Any:
    import optuna

    if isinstance(distribution, optuna.distributions.CategoricalDistribution):
        return trial.suggest_categorical(path, distribution.choices)
    if isinstance(distribution, optuna.distributions.IntDistribution):
        return trial.suggest_int(path, distribution.low, distribution.high, log=distribution.log)
    assert isinstance(distribution, optuna.distributions.FloatDistribution)
    return trial.suggest_float(path, distribution.low, distribution.high, log=distribution.log)
