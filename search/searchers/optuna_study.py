"""The study: a history as Optuna's estimator reads it, extended as the history grows."""

import random
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...results.database.records import History, Trial
from .ranking import merit, remembered

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution

MOST = 200  # trials that the estimator looks at, and up to STEP more: its time grows with them
STEP = 50

Distributions = Callable[[Mapping[str, Any]], "dict[str, BaseDistribution]"]  # of a trial's choices, by path


def window(history: History) -> list[Trial]:
    """What the estimator looks at: all of a short history, and of a long one the best, the latest and those under way.

    What is left out changes each ``STEP`` trials, so that the study is made anew only then.
    """
    settled = len(history) // STEP * STEP if len(history) > MOST else 0
    return [*remembered(history.trials[:settled], MOST), *history.trials[settled:]]


class Study:
    """Optuna's study of one history. It can be thrown away at any time: :meth:`follow` makes it anew.

    Paths that always occur together are drawn together (what Optuna calls groups), and only those that are asked for:
    a choice inside an option that was not taken costs nothing. Optuna's own ``group=True`` works them out again from
    every trial at every ask.
    """

    def __init__(self, distributions: Distributions) -> None:
        self._distributions = distributions
        self._start()

    def _start(self) -> None:
        self._study: optuna.Study | None = None
        self._known: list[Trial] = []
        self._groups: list[dict[str, BaseDistribution]] = []
        self._shapes: set[frozenset[str]] = set()

    def follow(self, history: History) -> None:
        """Take in what is new in ``history``; start again where it is not the one that was known, gone on."""
        trials = window(history)
        if not self._goes_on(trials):
            self._start()
        if self._study is None:
            self._study = _empty()
        for place, trial in enumerate(trials):
            if place >= len(self._known):
                self._study.add_trial(self._frozen(trial))
                self._known.append(trial)
            elif trial is not self._known[place]:
                if trial.state.final and not self._known[place].state.final:
                    self._study.tell(place + 1, merit(trial))  # the first trial of the study is the one being drawn
                self._known[place] = trial
            else:
                continue
            if trial.state.final:
                self._split(trial)

    def _goes_on(self, trials: Sequence[Trial]) -> bool:
        """Whether ``trials`` say of the known ones what was known, or that they have ended since."""
        return len(trials) >= len(self._known) and all(
            new is old or (_said(new) == _said(old) if old.state.final else _asked(new) == _asked(old))
            for new, old in zip(trials, self._known, strict=False)
        )

    def _frozen(self, trial: Trial) -> "optuna.trial.FrozenTrial":
        """A trial as Optuna knows it: complete, with its merit as its value, or still under way."""
        import optuna

        distributions = self._distributions(trial.choices)
        values = {**trial.choices, **{f"recipe.{name}": value for name, value in trial.recipe.items()}}
        states = optuna.trial.TrialState
        return optuna.create_trial(
            state=states.COMPLETE if trial.state.final else states.RUNNING,
            value=merit(trial) if trial.state.final else None,
            params={path: values[path] for path in distributions},
            distributions=distributions,
        )

    def _split(self, trial: Trial) -> None:
        """Divide the groups so that the trial has all of each or nothing of it."""
        found = self._distributions(trial.choices)
        if frozenset(found) in self._shapes:
            return
        self._shapes.add(frozenset(found))
        rest, groups = dict(found), []
        for group in self._groups:
            inside = {path: rest.pop(path) for path in group if path in rest}
            outside = {path: spread for path, spread in group.items() if path not in found}
            groups += [part for part in (inside, outside) if part]
        self._groups = [*groups, rest] if rest else groups

    def draw(self, rng: random.Random) -> "Draw":
        """A draw of the estimator, made as it is asked for."""
        assert self._study is not None, "follow a history first"
        return Draw(self._study, self._groups, rng)


class Draw:
    """One draw: a path's whole group is drawn when the first of its paths is asked for."""

    def __init__(
        self, study: "optuna.Study", groups: "Iterable[dict[str, BaseDistribution]]", rng: random.Random
    ) -> None:
        self._study = study
        self._sampler = _sampler(rng.getrandbits(32))
        self._trial = study.get_trials(deepcopy=False)[0]
        self._group = {path: group for group in groups for path in group}
        self._drawn: dict[str, Any] = {}

    def take(self, path: str, spread: "BaseDistribution") -> Any:
        """The value at ``path``; one that no finished trial has is drawn by Optuna's prior."""
        if path not in self._drawn:
            group = self._group.get(path, {path: spread})
            several = {name: one for name, one in sorted(group.items()) if not one.single()}
            self._drawn |= self._sampler.sample_relative(self._study, self._trial, several)
        if path not in self._drawn:  # a single value, which Optuna never draws
            self._drawn[path] = self._sampler.sample_independent(self._study, self._trial, path, spread)
        return self._drawn[path]


def _empty() -> "optuna.Study":
    """A study with one trial under way: the one being drawn, which the estimator leaves out."""
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


def _asked(trial: Trial) -> tuple[Any, ...]:
    """What never changes of a trial."""
    return trial.trial, trial.fingerprint, trial.choices, trial.recipe


def _said(trial: Trial) -> tuple[Any, ...]:
    """All that the estimator is told of a trial that has ended."""
    return *_asked(trial), trial.state.final, merit(trial)
