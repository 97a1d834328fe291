"""Bayesian search by Optuna's tree-structured Parzen estimator (Bergstra et al. 2011), kept inside the budget."""

import random
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...results.database.records import History, Trial
from ...spaces.constrained.constrained_space import ConstrainedSpace
from ...spaces.constrained.mutation import mutate, repair
from ...spaces.parameters.domains import Choice, Range, rising
from ...spaces.recipes.recipe import Recipe, RecipeSpace
from ...spaces.search_space.space import Decisions
from .base import Proposal, Searcher
from .ranking import latest_and_best, score
from .unexplored import IsNew

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution

N_INITIAL = 10  # finished trials before the estimator is asked; until then, uniform over what fits
MAX_DRAWS = 4  # draws of the estimator, each repaired and mutated, before a uniform sample is taken instead
MAX_MUTATIONS = 8  # mutations of a draw that was tried already
MAX_TRIALS = 200  # trials that the estimator sees, and up to WINDOW_STEP more: its time grows with them
WINDOW_STEP = 50

Distributions = Callable[[Mapping[str, Any]], "dict[str, BaseDistribution]"]  # of a trial's choices, by path


class TPE(Searcher):
    """Optuna proposes, the constrained space repairs.

    A draw outside the budget is moved inside by as few decisions as possible, one already tried to a neighbour that is
    new. Trials that a scheduler stopped rank behind those that completed, failed trials behind all others, so that the
    estimator does not return to what diverged or ran out of memory.
    """

    def __init__(self, sieve: ConstrainedSpace, recipes: RecipeSpace) -> None:
        super().__init__(sieve, recipes)
        self._study = Study(self._distributions)

    def ask(self, history: History, rng: random.Random) -> Proposal | None:
        if len(history.finished) < N_INITIAL:
            return self.random_proposal(history, rng)
        self._study.follow(history)
        is_new = self.unexplored.is_new(history)
        for _ in range(MAX_DRAWS):
            draw = self._study.draw(rng)
            decisions, recipe = self._decisions(draw), self._recipe(draw)
            new = self._repaired(decisions, recipe, is_new, rng)
            if new is not None:
                return self.propose(self.sieve.space.architecture(new), recipe)
        return self.random_proposal(history, rng)

    def _decisions(self, draw: "Draw") -> dict[str, int]:
        """Return the estimator's decisions, inside the budget or not."""
        decisions: dict[str, int] = {}

        def pick(path: str, options: tuple[Any, ...]) -> int:
            decisions[path] = draw.take(path, _index_distribution(options))
            return decisions[path]

        self.sieve.space.fill(pick)
        return decisions

    def _recipe(self, draw: "Draw") -> Recipe:
        parameters = self.recipes.holes.items()
        return self.recipes.fill({name: draw.take(_path(name), _distribution(one)) for name, one in parameters})

    def _repaired(
        self, decisions: Decisions, recipe: Recipe, is_new: IsNew, rng: random.Random
    ) -> dict[str, int] | None:
        """Return ``decisions`` moved into the budget and, where tried already, on to a neighbour that is new."""
        inside = repair(self.sieve, decisions, rng)
        for _ in range(MAX_MUTATIONS):
            if inside is None:
                return None
            if is_new(self.sieve.space.architecture(inside).fingerprint, recipe):
                return inside
            inside = mutate(self.sieve, inside, rng)
        return None

    def _distributions(self, choices: Decisions) -> "dict[str, BaseDistribution]":
        """Return the distribution of each of a trial's choices and of each value of its recipe."""
        distributions = {_path(name): _distribution(one) for name, one in self.recipes.holes.items()}

        def replay(path: str, options: tuple[Any, ...]) -> int:
            distributions[path] = _index_distribution(options)
            return int(choices[path])

        self.sieve.space.fill(replay)
        return distributions


def _path(name: str) -> str:
    """Return the name of a recipe's value among a trial's parameters."""
    return f"recipe.{name}"


def _index_distribution(options: tuple[Any, ...]) -> "BaseDistribution":
    """Return the distribution of an index of ``options``: ordered where they are rising numbers, else categorical."""
    import optuna

    if rising(options):
        return optuna.distributions.IntDistribution(0, len(options) - 1)
    return optuna.distributions.CategoricalDistribution(range(len(options)))


def _distribution(parameter: Choice | Range) -> "BaseDistribution":
    import optuna

    if isinstance(parameter, Choice):
        return optuna.distributions.CategoricalDistribution(parameter.options)
    if parameter.integer:
        return optuna.distributions.IntDistribution(int(parameter.low), int(parameter.high), log=parameter.log)
    return optuna.distributions.FloatDistribution(parameter.low, parameter.high, log=parameter.log)


def window(history: History) -> list[Trial]:
    """Return what the estimator sees: all of a short history, of a long one the best, the latest and the unfinished.

    The trials left out change only each ``WINDOW_STEP`` trials, so that the study is rebuilt only then.
    """
    settled = len(history) // WINDOW_STEP * WINDOW_STEP if len(history) > MAX_TRIALS else 0
    return [*latest_and_best(history.trials[:settled], MAX_TRIALS), *history.trials[settled:]]


class Study:
    """Optuna's study of one history, extended as the history grows. :meth:`follow` can rebuild it at any time.

    Paths that always occur together are drawn together (what Optuna calls groups), and only those that are asked for:
    a choice inside an option that was not taken costs nothing. Optuna's own ``group=True`` computes them again from
    every trial at every ask.
    """

    def __init__(self, distributions: Distributions) -> None:
        self._distributions = distributions
        self._start()

    def _start(self) -> None:
        self._study: optuna.Study | None = None
        self._trials: list[Trial] = []
        self._groups: list[dict[str, BaseDistribution]] = []
        self._shapes: set[frozenset[str]] = set()

    def follow(self, history: History) -> None:
        """Add what is new in ``history``; start again where it does not continue the one added before."""
        trials = window(history)
        if not self._continued_by(trials):
            self._start()
        if self._study is None:
            self._study = _empty()
        for position, trial in enumerate(trials):
            if position >= len(self._trials):
                self._study.add_trial(self._frozen(trial))
                self._trials.append(trial)
            elif trial is not self._trials[position]:
                if trial.state.final and not self._trials[position].state.final:
                    self._study.tell(position + 1, score(trial))  # the study's first trial is the one being drawn
                self._trials[position] = trial
            else:
                continue
            if trial.state.final:
                self._split(trial)

    def _continued_by(self, trials: Sequence[Trial]) -> bool:
        """Return whether ``trials`` agree with the trials added before, except that some have ended since."""
        return len(trials) >= len(self._trials) and all(
            new is old or (_observed(new) == _observed(old) if old.state.final else _fixed(new) == _fixed(old))
            for new, old in zip(trials, self._trials, strict=False)
        )

    def _frozen(self, trial: Trial) -> "optuna.trial.FrozenTrial":
        """Convert a trial to Optuna's: complete, with its score as its value, or still running."""
        import optuna

        distributions = self._distributions(trial.choices)
        values = {**trial.choices, **{_path(name): value for name, value in trial.recipe.items()}}
        states = optuna.trial.TrialState
        return optuna.create_trial(
            state=states.COMPLETE if trial.state.final else states.RUNNING,
            value=score(trial) if trial.state.final else None,
            params={path: values[path] for path in distributions},
            distributions=distributions,
        )

    def _split(self, trial: Trial) -> None:
        """Divide the groups so that the trial has all of each or nothing of it."""
        distributions = self._distributions(trial.choices)
        if frozenset(distributions) in self._shapes:
            return
        self._shapes.add(frozenset(distributions))
        rest, groups = dict(distributions), []
        for group in self._groups:
            inside = {path: rest.pop(path) for path in group if path in rest}
            outside = {path: one for path, one in group.items() if path not in distributions}
            groups += [part for part in (inside, outside) if part]
        self._groups = [*groups, rest] if rest else groups

    def draw(self, rng: random.Random) -> "Draw":
        """Start a draw of the estimator; values are sampled when they are asked for."""
        assert self._study is not None, "follow a history first"
        return Draw(self._study, self._groups, rng)


class Draw:
    """One draw: a path's whole group is sampled when the first of its paths is asked for."""

    def __init__(
        self, study: "optuna.Study", groups: "Iterable[dict[str, BaseDistribution]]", rng: random.Random
    ) -> None:
        self._study = study
        self._sampler = _sampler(rng.getrandbits(32))
        self._trial = study.get_trials(deepcopy=False)[0]
        self._group = {path: group for group in groups for path in group}
        self._drawn: dict[str, Any] = {}

    def take(self, path: str, distribution: "BaseDistribution") -> Any:
        """Return the value at ``path``; one that no finished trial has is drawn by Optuna's prior."""
        if path not in self._drawn:
            group = self._group.get(path, {path: distribution})
            several = {name: one for name, one in sorted(group.items()) if not one.single()}
            self._drawn |= self._sampler.sample_relative(self._study, self._trial, several)
        if path not in self._drawn:  # a single value, which Optuna never draws
            self._drawn[path] = self._sampler.sample_independent(self._study, self._trial, path, distribution)
        return self._drawn[path]


def _empty() -> "optuna.Study":
    """Return a study with one running trial: the one being drawn, which the estimator leaves out."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize")
    study.add_trial(optuna.create_trial(state=optuna.trial.TrialState.RUNNING))
    return study


def _sampler(seed: int) -> "optuna.samplers.TPESampler":
    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(seed=seed, n_startup_trials=1, multivariate=True, constant_liar=True)


def _fixed(trial: Trial) -> tuple[Any, ...]:
    """Return what never changes of a trial."""
    return trial.trial, trial.fingerprint, trial.choices, trial.recipe


def _observed(trial: Trial) -> tuple[Any, ...]:
    """Return all that the estimator sees of a trial that has ended."""
    return *_fixed(trial), trial.state.final, score(trial)
