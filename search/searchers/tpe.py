"""Bayesian search by Optuna's tree-structured Parzen estimator (Bergstra et al. 2011), kept inside the budget."""

import random
import warnings
from typing import TYPE_CHECKING, Any

from ...results.records import History, Trial
from ...spaces.architecture import Architecture
from ...spaces.block import ShapeError
from ...spaces.choices import Choice, Range
from .contract import Proposal, Searcher, draw_recipe, unseen
from .uniform import Uniform, revisit

if TYPE_CHECKING:
    import optuna

STARTUP = 10  # finished trials before the estimator is asked; until then, uniform over what fits
TRIES = 64  # draws of the estimator before a uniform sample is taken instead


class TPE(Searcher):
    """Optuna proposes, the sieve disposes: draws outside the budget or already tried are drawn again.

    The study is rebuilt from history at each ask, so nothing of Optuna's has to survive. Failed trials count as the
    worst seen, so that what diverged or ran out of memory is not tried around again.
    """

    def ask(self, history: History, rng: random.Random) -> Proposal | None:
        if len(history.finished) < STARTUP:
            return Uniform(self.sieve, self.recipes).ask(history, rng)
        study = self._study(history, rng)
        import optuna

        failed = optuna.trial.TrialState.FAIL
        seen = history.fingerprints
        for _ in range(TRIES):
            trial = study.ask()
            proposal = self._draw(trial)
            if proposal and proposal.architecture.fingerprint not in seen:
                return proposal
            study.tell(trial, state=failed)
        architecture = unseen(self.sieve, history, rng)
        if architecture is None:
            return revisit(self, history, rng)
        return self.propose(architecture, draw_recipe(self.recipes, rng))

    def _draw(self, trial: "optuna.Trial") -> Proposal | None:
        """What the estimator proposes, or None where it does not fit together or not into the budget."""
        decisions: dict[str, int] = {}

        def pick(path: str, options: tuple[Any, ...]) -> int:
            decisions[path] = _suggest(trial, path, _places(options))
            return decisions[path]

        space = self.sieve.space
        try:
            architecture = Architecture(space.input_shape, space.fill(pick), space.classes)
        except ShapeError:
            return None
        if not self.sieve.allows(architecture):
            return None
        holes = self.recipes.holes.items()
        values = {name: _suggest(trial, _recipe_path(name), _distribution(hole)) for name, hole in holes}
        return Proposal(architecture, self.recipes.fill(values), decisions)

    def _study(self, history: History, rng: random.Random) -> "optuna.Study":
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        study = optuna.create_study(direction="maximize", sampler=_sampler(rng.getrandbits(32)))
        scores = [trial.val_accuracy for trial in history.finished if trial.val_accuracy is not None]
        worst = min(scores, default=0.0)
        study.add_trials([self._frozen(trial, worst) for trial in history])
        return study

    def _frozen(self, trial: Trial, worst: float) -> "optuna.trial.FrozenTrial":
        """A past trial as Optuna knows it: finished, failed (counted as the worst) or still under way."""
        import optuna

        distributions = self._distributions(trial)
        values = {**trial.choices, **{_recipe_path(name): value for name, value in trial.recipe.items()}}
        score = trial.val_accuracy if trial.state.finished and trial.val_accuracy is not None else worst
        under_way = not trial.state.final
        return optuna.create_trial(
            state=optuna.trial.TrialState.RUNNING if under_way else optuna.trial.TrialState.COMPLETE,
            value=None if under_way else score,
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
