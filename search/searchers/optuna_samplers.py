"""Other samplers of Optuna and OptunaHub as searchers: ``optuna:CmaEsSampler``, ``optunahub:samplers/NAME``.

Their draws are repaired into the budget as those of TPE are. A sampler may keep its state in attributes of the trials
and of the study, as CMA-ES does. The study is therefore the history replayed: one draw of the sampler for each trial,
whose values are then replaced by those that were tried. It depends on the history alone, not on when trials ended.
"""

import copy
import inspect
import random
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...results.database.records import History, Trial
from ...spaces.constrained.constrained_space import BudgetError, ConstrainedSpace
from ...spaces.parameters.lookup import unknown
from ...spaces.parameters.user_code import PluginError, first_line
from ...spaces.recipes.recipe import RecipeSpace
from .base import Proposal
from .ranking import score
from .tpe import TPE, Distributions, observed, parameters_of, window

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler

OPTUNA, HUB = "optuna:", "optunahub:"
INSTALL = "pip install 'archsieve[samplers]'"
REGISTRY = "registry"  # the option of ``optunahub:`` samplers that names the folder of the packages
_PACKAGES = {"CmaEsSampler": "cmaes"}  # the packages that a sampler needs in addition to Optuna
_UNSUITED = {  # they need the whole grid, or another sampler; "grid" of archsieve does the same inside a budget
    "BruteForceSampler": "grid",
    "GridSampler": "grid",
    "PartialFixedSampler": "tpe",
}

MakeSampler = Callable[[int], "BaseSampler"]  # seed -> a new sampler


def is_sampler(name: str) -> bool:
    """Return whether ``name`` is that of a sampler, and not of a searcher of the registry."""
    return name.startswith((OPTUNA, HUB))


def sampler_searcher(
    name: str, constrained: ConstrainedSpace, recipes: RecipeSpace, options: Mapping[str, Any] | None = None
) -> TPE:
    """Return the searcher with the sampler called ``name``; ``options`` are arguments of the sampler.

    Raises ``ValueError`` for a sampler that does not exist, is not installed or needs other arguments.
    """
    given: Any = options or {}
    if not isinstance(given, Mapping):
        raise ValueError(
            f"search.sampler must be a table of arguments of {name}, but got {options!r}; write it like "
            "{ n_startup_trials = 10 }"
        )
    make = _checked(name, dict(given))
    return SamplerSearcher(name, make, constrained, recipes)


class SamplerSearcher(TPE):
    """The searcher that draws from the sampler ``name``."""

    def __init__(self, name: str, make: MakeSampler, constrained: ConstrainedSpace, recipes: RecipeSpace) -> None:
        super().__init__(constrained, recipes, make_study=partial(ReplayedStudy, make))
        self._name = name

    def ask(self, history: History, rng: random.Random) -> Proposal | None:
        try:
            return super().ask(history, rng)
        except BudgetError:
            raise
        except Exception as error:  # a sampler may find only now that its arguments do not fit
            raise PluginError(
                f"the sampler {self._name} must propose values, but it raised {type(error).__name__}: "
                f"{first_line(error)}; check its arguments in search.sampler"
            ) from error


class ReplayedStudy:
    """An Optuna study with one trial for each trial of a history, in the order of their numbers, drawn by a sampler."""

    def __init__(self, make: MakeSampler, distributions: Distributions) -> None:
        self._make, self._distributions = make, distributions
        self._trials: list[Trial] = []  # the trials of the study, in its order
        self._study: optuna.Study | None = None  # created by the first update, which imports Optuna
        self._copy: optuna.Study | None = None  # takes the draws, so that they leave no trace in the study

    def update(self, history: History) -> None:
        """Make the study that of ``history``: extend it, or replay all trials if an earlier one has changed."""
        import optuna

        trials = window(history)
        known = self._trials
        if self._study is None or len(trials) < len(known) or any(map(_differ, known, trials)):
            with _quiet():
                self._study = optuna.create_study(direction="maximize")
            known = []
        for position, trial in enumerate(trials[len(known) :], start=len(known)):
            self._replay(position, trial)
        self._trials, self._copy = list(trials), None

    def draw(self, rng: random.Random) -> "SampledDraw":
        """Start a draw of the sampler."""
        study = self._copy = self._copy or copy.deepcopy(self._study)
        assert study is not None, "update() creates the study"
        with _quiet():
            study.sampler = self._make(rng.getrandbits(31))
            return SampledDraw(study.ask())

    def _replay(self, position: int, trial: Trial) -> None:
        import optuna

        assert self._study is not None, "update() creates the study"
        states = optuna.trial.TrialState
        distributions, values = parameters_of(trial, self._distributions)
        with _quiet():
            self._study.sampler = self._make(position)
            drawn = self._study.ask()
            draw = SampledDraw(drawn)
            for path, distribution in distributions.items():
                draw.take(path, distribution)
            attributes = self._study.get_trials(deepcopy=False)[drawn.number].system_attrs
            self._study.tell(drawn, state=states.FAIL)  # the values that were tried take its place
            self._study.add_trial(
                optuna.create_trial(
                    state=states.COMPLETE if trial.state.final else states.RUNNING,
                    value=score(trial) if trial.state.final else None,
                    params=values,
                    distributions=distributions,
                    system_attrs=dict(attributes),
                )
            )


class SampledDraw:
    """One draw of a sampler: each value is asked for by its path."""

    def __init__(self, trial: "optuna.Trial") -> None:
        self._trial = trial

    def take(self, path: str, distribution: "BaseDistribution") -> Any:
        """Return the value at ``path``."""
        import optuna

        kinds = optuna.distributions
        with _quiet():
            if isinstance(distribution, kinds.CategoricalDistribution):
                return self._trial.suggest_categorical(path, distribution.choices)
            if isinstance(distribution, kinds.IntDistribution):
                return self._trial.suggest_int(path, distribution.low, distribution.high, log=distribution.log)
            assert isinstance(distribution, kinds.FloatDistribution), "no other distribution is used"
            return self._trial.suggest_float(path, distribution.low, distribution.high, log=distribution.log)


def _differ(known: Trial, new: Trial) -> bool:
    return known is not new and observed(known) != observed(new)


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the messages of Optuna, which would mix with the output of the run."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _checked(name: str, options: dict[str, Any]) -> MakeSampler:
    """Return a function that makes the sampler called ``name``, after it has made one."""
    kind = _hub_sampler(name, options) if name.startswith(HUB) else _optuna_sampler(name)
    accepted = inspect.signature(kind).parameters
    allowed = [one for one, parameter in accepted.items() if one != "seed" and not _is_object(parameter)]
    for option in options:
        if option not in allowed:
            raise ValueError(f"search.sampler: {unknown(f'option of {name}', option, allowed)}")

    def make(seed: int) -> "BaseSampler":
        seeded = {"seed": seed} if "seed" in accepted else {}
        return kind(**options, **seeded)

    try:
        with _quiet():
            make(0)
    except Exception as error:  # a sampler may raise anything for its arguments
        raise ValueError(
            f"search.sampler must be options that {name} accepts, but got {options or 'none'}: {error}; see its "
            "documentation"
        ) from error
    return make


def _is_object(parameter: inspect.Parameter) -> bool:
    """Return whether an argument is a function or an object, which a search file cannot contain."""
    return (
        re.search(r"Callable|Sampler|BaseMutation|BaseCrossover|FrozenTrial|ndarray", str(parameter.annotation))
        is not None
    )


def _optuna_sampler(name: str) -> "type[BaseSampler]":
    import optuna

    members: dict[str, Any] = {one: getattr(optuna.samplers, one) for one in optuna.samplers.__all__}
    known: dict[str, type[BaseSampler]] = {
        one: member
        for one, member in members.items()
        if isinstance(member, type) and issubclass(member, optuna.samplers.BaseSampler)
        if not inspect.isabstract(member) and one not in _UNSUITED
    }
    short = name.removeprefix(OPTUNA)
    if short in _UNSUITED:
        raise ValueError(
            f"search.searcher must be a sampler that proposes any values, but got {name!r}; use searcher = "
            f'"{_UNSUITED[short]}"'
        )
    if short not in known:
        raise ValueError(f"search.searcher: {unknown('sampler of Optuna', short, known)}")
    _check_installed(name, _PACKAGES.get(short, "optuna"))
    return known[short]


def _check_installed(name: str, package: str) -> None:
    if find_spec(package) is None:
        raise ValueError(f"search.searcher: {name!r} needs the package {package}, which is not installed; {INSTALL}")


def _hub_sampler(name: str, options: dict[str, Any]) -> "type[BaseSampler]":
    """Return the sampler of a package of OptunaHub in a folder of this machine; nothing is downloaded."""
    _check_installed(name, "optunahub")
    import optunahub
    from optuna.samplers import BaseSampler

    package, registry = name.removeprefix(HUB), options.pop(REGISTRY, None)
    if not re.fullmatch(r"[\w-]+(/[\w-]+)*", package):  # no path that leaves the folder
        raise ValueError(
            f"search.searcher must name a package of OptunaHub by its folders, but got {name!r}; use a name such as "
            f"{HUB}samplers/my_sampler"
        )
    folder = Path(str(registry or "")).expanduser()
    if registry is None or not (folder / package / "__init__.py").is_file():
        files = folder.glob("*/*/__init__.py") if registry else ()
        present = sorted(str(file.parent.relative_to(folder)) for file in files)
        found = f"search.sampler.registry is {registry!r} with {', '.join(present) or 'no packages'}"
        raise ValueError(
            f"search.searcher: {name!r} needs a folder with the package {package}/__init__.py, but {found}; download "
            'the package, and name the folder: sampler = { registry = "FOLDER" }'
        )
    module = optunahub.load_local_module(package, registry_root=str(folder.resolve()))
    kinds: Sequence[type[BaseSampler]] = [
        member
        for member in vars(module).values()
        if inspect.isclass(member) and issubclass(member, BaseSampler) and member.__module__.startswith(module.__name__)
    ]
    if len(kinds) != 1:
        raise ValueError(
            f"search.searcher: a package must define one sampler, but {name!r} has "
            f"{', '.join(kind.__name__ for kind in kinds) or 'none'}; use another package"
        )
    return kinds[0]
