"""Bayesian search with Optuna's tree-structured Parzen estimator (Bergstra et al. 2011), repaired into the budget."""

import math
import random
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from ...results.database.records import History, Trial
from ...spaces.constrained.constrained_space import ConstrainedSpace
from ...spaces.constrained.mutation import mutate, repair
from ...spaces.parameters.domains import Choice, Range, is_ascending
from ...spaces.recipes.recipe import Recipe, RecipeSpace
from ...spaces.search_space.space import Decisions
from .base import Proposal, Searcher
from .ranking import latest_and_best, score
from .recipe_sampling import values_of
from .unexplored import IsNew
from .user_prior import exponent, has_prior, log_density

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution

N_INITIAL = 10  # finished trials before the estimator is used; until then, proposals are uniform over the feasible ones
MAX_DRAWS = 4  # draws of the estimator, each repaired and mutated, before a random proposal replaces them
N_PRIOR_DRAWS = 4  # draws of which one is chosen by what the user expects of its recipe
MAX_MUTATIONS = 8  # mutations of a draw that is not new
MAX_TRIALS = 200  # trials that the estimator sees, plus up to WINDOW_STEP more: its time grows with their number
WINDOW_STEP = 50  # new trials after which the window moves and the study is built again


class Drawn(Protocol):
    """One draw: each value is drawn when it is requested."""

    def take(self, path: str, distribution: "BaseDistribution") -> Any:
        """Return the value at ``path``."""


class Draws(Protocol):
    """Something that draws from a history, such as :class:`Study`."""

    def update(self, history: History) -> None:
        """Learn from the trials of ``history``."""

    def draw(self, rng: random.Random) -> Drawn:
        """Start a draw."""


# a trial's choices -> the distribution of each of its parameters, by path
Distributions = Callable[[Mapping[str, Any]], "dict[str, BaseDistribution]"]


class TPE(Searcher):
    """Propose draws of Optuna's estimator, repaired into the budget.

    A draw outside the budget is repaired greedily, one decision after another; a draw that is not new is mutated until
    it is. Trials that a scheduler stopped rank below completed ones, failed trials below all others, so that the
    estimator avoids regions where trials diverged or ran out of memory.

    ``make_study`` replaces the estimator by another one that draws from a history.
    """

    def __init__(
        self,
        constrained: ConstrainedSpace,
        recipes: RecipeSpace,
        *,
        make_study: "Callable[[Distributions], Draws] | None" = None,
    ) -> None:
        super().__init__(constrained, recipes)
        self._study = (make_study or Study)(self._distributions)

    def ask(self, history: History, rng: random.Random) -> Proposal | None:
        if len(history.finished) < N_INITIAL:
            return self.random_proposal(history, rng)
        self._study.update(history)
        is_new = self.unexplored.is_new(history)
        for _ in range(MAX_DRAWS):
            decisions, recipe = self._draw(history, rng)
            new = self._repaired(decisions, recipe, is_new, rng)
            if new is not None:
                return self.propose(self.constrained.space.architecture(new), recipe)
        return self.random_proposal(history, rng)

    def _draw(self, history: History, rng: random.Random) -> tuple[dict[str, int], Recipe]:
        """Return the decisions and the recipe of a draw of the estimator.

        Where the user expects something of recipe values, it is one of several draws, with the probability of the
        density of its recipe.
        """
        n = N_PRIOR_DRAWS if has_prior(self.recipes) else 1
        draws = [self._study.draw(rng) for _ in range(n)]
        pairs = [(self._decisions(draw), self._recipe(draw)) for draw in draws]
        if n == 1:
            return pairs[0]
        power = exponent(len(history.finished))
        logs = [power * log_density(self.recipes, values_of(self.recipes, recipe)) for _, recipe in pairs]
        return rng.choices(pairs, [math.exp(one - max(logs)) for one in logs])[0]

    def _decisions(self, draw: Drawn) -> dict[str, int]:
        """Return the decisions that the estimator draws; they may break the budget."""
        decisions: dict[str, int] = {}

        def pick(path: str, options: tuple[Any, ...]) -> int:
            decisions[path] = draw.take(path, _index_distribution(options))
            return decisions[path]

        self.constrained.space.fill(pick)
        return decisions

    def _recipe(self, draw: Drawn) -> Recipe:
        """Return the recipe that the estimator draws."""
        parameters = self.recipes.free_parameters.items()
        return self.recipes.fill({name: draw.take(_path(name), _distribution(one)) for name, one in parameters})

    def _repaired(
        self, decisions: Decisions, recipe: Recipe, is_new: IsNew, rng: random.Random
    ) -> dict[str, int] | None:
        """Return ``decisions`` repaired into the budget and mutated until they are new; None if that fails."""
        inside = repair(self.constrained, decisions, rng)
        for _ in range(MAX_MUTATIONS):
            if inside is None:
                return None
            if is_new(self.constrained.space.architecture(inside).fingerprint, recipe):
                return inside
            inside = mutate(self.constrained, inside, rng)
        return None

    def _distributions(self, choices: Decisions) -> "dict[str, BaseDistribution]":
        """Return the distributions of a trial's choices and of the free parameters of its recipe, by path."""
        distributions = {_path(name): _distribution(one) for name, one in self.recipes.free_parameters.items()}

        def replay(path: str, options: tuple[Any, ...]) -> int:
            distributions[path] = _index_distribution(options)
            return int(choices[path])

        self.constrained.space.fill(replay)
        return distributions


def _path(name: str) -> str:
    """Return the path of a recipe's parameter in the study; the prefix separates it from the choices of the space."""
    return f"recipe.{name}"


def _index_distribution(options: tuple[Any, ...]) -> "BaseDistribution":
    """Return the distribution of an index of ``options``: integers if they are rising numbers, else categories."""
    import optuna  # here and below: importing Optuna is slow, and other searchers do not need it

    if is_ascending(options):
        return optuna.distributions.IntDistribution(0, len(options) - 1)
    return optuna.distributions.CategoricalDistribution(range(len(options)))


def _distribution(parameter: Choice | Range) -> "BaseDistribution":
    """Return the distribution of a free parameter of the recipe."""
    import optuna

    if isinstance(parameter, Choice):
        return optuna.distributions.CategoricalDistribution(parameter.options)
    if parameter.integer:
        return optuna.distributions.IntDistribution(int(parameter.low), int(parameter.high), log=parameter.log)
    return optuna.distributions.FloatDistribution(parameter.low, parameter.high, log=parameter.log)


def parameters_of(
    trial: Trial, distributions_of: Distributions
) -> "tuple[dict[str, BaseDistribution], dict[str, Any]]":
    """Return the distributions of a trial's parameters, and their values, by path."""
    distributions = distributions_of(trial.choices)
    values = {**trial.choices, **{_path(name): value for name, value in trial.recipe.items()}}
    return distributions, {path: values[path] for path in distributions}


def window(history: History) -> list[Trial]:
    """Return the trials that the estimator sees: all of a short history; the best, latest and unfinished of a long one.

    The selection changes only every ``WINDOW_STEP`` trials. Between two changes the window only grows, so that the
    study is extended and not built again.
    """
    n_thinned = len(history) // WINDOW_STEP * WINDOW_STEP if len(history) > MAX_TRIALS else 0
    return [*latest_and_best(history.trials[:n_thinned], MAX_TRIALS), *history.trials[n_thinned:]]


class Study:
    """An Optuna study of one history, extended as the history grows; :meth:`update` can build it again at any time.

    Paths that always occur together form a group, as in Optuna, and are drawn together. A group is drawn only when one
    of its paths is needed, so a choice inside an unselected option costs no time. Optuna's own ``group=True`` is not
    used, because it computes the groups again from every trial at every ask.
    """

    def __init__(self, distributions: Distributions) -> None:
        self._distributions = distributions
        self._start()

    def _start(self) -> None:
        self._study: optuna.Study | None = None  # created by the first update, which imports Optuna
        self._trials: list[Trial] = []  # the trials of the study, in its order
        self._groups: list[dict[str, BaseDistribution]] = []
        self._path_sets: set[frozenset[str]] = set()  # sets of paths that the groups already respect

    def update(self, history: History) -> None:
        """Add the new trials of ``history`` to the study; start again if it does not continue the last history."""
        trials = window(history)
        if not self._continued_by(trials):
            self._start()
        if self._study is None:
            self._study = _empty_study()
        for position, trial in enumerate(trials):
            if position >= len(self._trials):
                self._study.add_trial(self._frozen(trial))
                self._trials.append(trial)
            elif trial is not self._trials[position]:
                if trial.state.final and not self._trials[position].state.final:
                    self._study.tell(position + 1, score(trial))  # + 1: trial 0 of the study is the one being drawn
                self._trials[position] = trial
            else:
                continue
            # like Optuna, only ended trials define groups
            if trial.state.final:
                self._split_groups(trial)

    def _continued_by(self, trials: Sequence[Trial]) -> bool:
        """Return whether ``trials`` begin with the trials of the study, except that some have ended since then."""
        return len(trials) >= len(self._trials) and all(
            new is old or (observed(new) == observed(old) if old.state.final else _fixed(new) == _fixed(old))
            for new, old in zip(trials, self._trials, strict=False)
        )

    def _frozen(self, trial: Trial) -> "optuna.trial.FrozenTrial":
        """Convert a trial to an Optuna trial: complete with its score as the value, or still running."""
        import optuna

        distributions, values = parameters_of(trial, self._distributions)
        states = optuna.trial.TrialState
        return optuna.create_trial(
            state=states.COMPLETE if trial.state.final else states.RUNNING,
            value=score(trial) if trial.state.final else None,
            params=values,
            distributions=distributions,
        )

    def _split_groups(self, trial: Trial) -> None:
        """Split the groups so that the trial has either all paths of a group or none."""
        distributions = self._distributions(trial.choices)
        if frozenset(distributions) in self._path_sets:
            return
        self._path_sets.add(frozenset(distributions))
        rest, groups = dict(distributions), []
        for group in self._groups:
            inside = {path: rest.pop(path) for path in group if path in rest}
            outside = {path: one for path, one in group.items() if path not in distributions}
            groups += [part for part in (inside, outside) if part]
        self._groups = [*groups, rest] if rest else groups

    def draw(self, rng: random.Random) -> "Draw":
        """Start a draw of the estimator; its values are sampled when they are requested."""
        assert self._study is not None, "call update() before draw()"
        return Draw(self._study, self._groups, rng)


class Draw:
    """One draw of the estimator: a group is sampled when the first of its paths is requested."""

    def __init__(
        self, study: "optuna.Study", groups: "Iterable[dict[str, BaseDistribution]]", rng: random.Random
    ) -> None:
        self._study = study
        self._sampler = _sampler(rng.getrandbits(32))
        self._trial = study.get_trials(deepcopy=False)[0]
        self._group = {path: group for group in groups for path in group}
        self._drawn: dict[str, Any] = {}

    def take(self, path: str, distribution: "BaseDistribution") -> Any:
        """Return the value at ``path``; a path that no ended trial has is drawn from Optuna's prior."""
        if path not in self._drawn:
            group = self._group.get(path, {path: distribution})
            # sorted, because the order decides which random numbers a path gets; Optuna never draws single values
            several = {name: one for name, one in sorted(group.items()) if not one.single()}
            self._drawn |= self._sampler.sample_relative(self._study, self._trial, several)
        if path not in self._drawn:  # a distribution with a single value
            self._drawn[path] = self._sampler.sample_independent(self._study, self._trial, path, distribution)
        return self._drawn[path]


def _empty_study() -> "optuna.Study":
    """Return a study with one running trial: the one being drawn, which the estimator ignores."""
    import optuna

    # Optuna logs a line for each study and trial, which would mix with the output of the run
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize")
    study.add_trial(optuna.create_trial(state=optuna.trial.TrialState.RUNNING))
    return study


def _sampler(seed: int) -> "optuna.samplers.TPESampler":
    """Return a sampler with its own seed: a draw depends on ``ask``'s random numbers alone, also after a resume.

    ``constant_liar`` counts running trials as bad ones, so that parallel workers get different proposals.
    """
    import optuna

    # Optuna warns at each construction, because some of these arguments are experimental
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(seed=seed, n_startup_trials=1, multivariate=True, constant_liar=True)


def _fixed(trial: Trial) -> tuple[Any, ...]:
    """Return the attributes of a trial that never change."""
    return trial.trial, trial.fingerprint, trial.choices, trial.recipe


def observed(trial: Trial) -> tuple[Any, ...]:
    """Return everything that the estimator sees of an ended trial."""
    return *_fixed(trial), trial.state.final, score(trial)
