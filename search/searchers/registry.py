"""Registry of the searchers: the names of ``search.searcher`` and their classes."""

import inspect
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from ...results.database.records import History
from ...results.query.metric_columns import is_test_metric, unselectable
from ...results.query.pareto import OBJECTIVES, objective_name
from ...spaces.constrained.constrained_space import BudgetError, ConstrainedSpace
from ...spaces.metrics.registry import is_metric
from ...spaces.metrics.selection import BY_ACCURACY, Selection
from ...spaces.parameters.lookup import check_part_name, check_unregistered, unknown
from ...spaces.parameters.user_code import ERRORS, PluginError, at_definition, module_of, prints_to_stderr, raised
from ...spaces.recipes.recipe import RecipeSpace
from .base import Proposal, Searcher
from .earlier_runs import EarlierRun
from .evolution import NSGA2, Evolution
from .gaussian_process import GaussianProcess
from .optuna_samplers import OPTUNA, is_sampler, sampler_searcher
from .ranking import checked_objectives
from .recipe_sampling import explored_pairs
from .tpe import TPE
from .uninformed import Grid, RandomSearch

S = TypeVar("S", bound=Searcher)

SEARCHERS: dict[str, Callable[[ConstrainedSpace, RecipeSpace], Searcher]] = {
    "grid": Grid,
    "random": RandomSearch,
    "tpe": TPE,
    "gp": GaussianProcess,
    "evolution": Evolution,
    "nsga2": NSGA2,
}


def register_searcher(name: str) -> Callable[[type[S]], type[S]]:
    """Register a custom searcher under ``name``, as a decorator of its class, which is derived from :class:`Searcher`.

    Raises ``TypeError`` for a class that is no searcher, ``ValueError`` for a name that is taken by another class.
    """
    check_part_name(name, "register_searcher", "searcher")

    def register(searcher: type[S]) -> type[S]:
        label = getattr(searcher, "__qualname__", repr(searcher))
        if not isinstance(searcher, type) or not issubclass(searcher, Searcher):
            raise TypeError(
                f"searcher {name!r} must be a class derived from archsieve.Searcher, but got {label}; derive it"
            )
        if searcher.__abstractmethods__:
            raise TypeError(f"searcher {name!r} must define ask(history, rng), but {label} does not; add it")
        _check_signatures(name, searcher)
        check_unregistered(SEARCHERS.get(name), searcher, "name of a searcher", name)
        SEARCHERS[name] = searcher
        return searcher

    return register


def _check_signatures(name: str, searcher: type[Searcher]) -> None:
    """Raise ``TypeError`` if the class cannot be called as a run calls it."""
    for method, call in (("__init__", "(self, constrained, recipes)"), ("ask", "(self, history, rng)")):
        try:
            inspect.signature(getattr(searcher, method)).bind(None, None, None)
        except TypeError:
            raise TypeError(
                f"searcher {name!r} must define {method}{call}, but {searcher.__qualname__} has "
                f"{method}{inspect.signature(getattr(searcher, method))}; correct its parameters"
            ) from None


def make_searcher(
    name: str,
    constrained: ConstrainedSpace,
    recipes: RecipeSpace,
    objectives: Sequence[str] | None = None,
    selection: Selection = BY_ACCURACY,
    *,
    earlier: Sequence[EarlierRun] = (),
    standard_prior: bool = True,
    latency_limit_ms: float | None = None,
    sampler: Mapping[str, Any] | None = None,
    repeat_networks: bool = False,
    per_second: bool = False,
) -> Searcher:
    """Build the searcher called ``name``; without ``objectives`` it has its defaults.

    The name is that of :data:`SEARCHERS`, or of a sampler such as ``optuna:CmaEsSampler``, whose arguments are
    ``sampler``. Only ``gp`` uses the other arguments after ``selection``. Objectives are costs and the metrics of
    ``selection``; the default is the selecting metric, for ``nsga2`` also the macs.

    Raises ``ValueError`` for an unknown name, and for objectives or repeats that the searcher does not support.
    """
    check_searcher(name, sampler)
    build = SEARCHERS.get(name)
    chosen = _checked(name, build, objectives, selection)
    _check_options(name, repeat_networks=repeat_networks, acquisition=per_second)
    if build is None:
        return sampler_searcher(name, constrained, recipes, sampler)
    if build is NSGA2:
        return NSGA2(constrained, recipes, chosen or (selection.stored_name, "macs"))
    if build is GaussianProcess:
        return GaussianProcess(
            constrained,
            recipes,
            earlier=earlier,
            standard_prior=standard_prior,
            objectives=chosen if len(chosen) > 1 else (),
            selecting=selection.stored_name,
            latency_limit_ms=latency_limit_ms,
            repeat_networks=repeat_networks,
            per_second=per_second,
        )
    try:
        return build(constrained, recipes)
    except BudgetError:
        raise
    except ERRORS as error:
        if module_of(build) is None:
            raise
        raise raised(f"making the searcher {name!r}", error, getattr(build, "__init__", None)) from error


def check_searcher(name: str, sampler: Mapping[str, Any] | None = None) -> None:
    """Raise ``ValueError`` for the name of a searcher that does not exist, and for options that it does not have."""
    if is_sampler(name):
        return
    if name not in SEARCHERS:
        raise ValueError(f"search.searcher: {unknown('searcher', name, SEARCHERS)}")
    if sampler:
        raise ValueError(
            f'search.sampler needs a sampler such as searcher = "{OPTUNA}CmaEsSampler", but the searcher is {name!r}; '
            "leave sampler out"
        )


def _check_options(name: str, **given: bool) -> None:
    """Raise ``ValueError`` if an option of ``gp`` is ``given``, by its key, to another searcher."""
    key = next((key for key, is_given in given.items() if is_given), None)
    if key is not None and SEARCHERS.get(name) is not GaussianProcess:
        raise ValueError(
            f'search.{key} is for the searcher gp, but the searcher is {name}; use searcher = "gp", or leave {key} out'
        )


def checked_ask(searcher: Searcher, history: History, rng: random.Random) -> Proposal | None:
    """Return ``searcher.ask(history, rng)``.

    Raises :class:`PluginError` where a custom searcher raises, returns something else than a proposal or None, or
    repeats a trial.
    """
    if module_of(searcher) is None:
        return searcher.ask(history, rng)
    ask = type(searcher).ask
    name = next((name for name, made in SEARCHERS.items() if made is type(searcher)), type(searcher).__qualname__)
    try:
        with prints_to_stderr():
            proposal: object = searcher.ask(history, rng)
    except BudgetError:
        raise
    except ERRORS as error:
        raise raised(f"ask() of the searcher {name!r}", error, ask) from error
    if proposal is not None and not isinstance(proposal, Proposal):
        raise PluginError(
            f"ask() of the searcher {name!r} must return a Proposal or None, but returned {type(proposal).__name__} "
            f"{str(proposal)[:60]}{at_definition(ask)}; return self.propose(architecture, recipe)"
        )
    if proposal is not None and proposal.key in explored_pairs(history):
        raise PluginError(
            f"a searcher must not repeat a trial, but {name!r} proposed {proposal.architecture} again with the same "
            f"recipe{at_definition(ask)}; correct its ask()"
        )
    return proposal


def _checked(name: str, build: object, objectives: Sequence[str] | None, selection: Selection) -> tuple[str, ...]:
    """Return the names under which the objectives are recorded; raise ``ValueError`` if the searcher cannot have them.

    ``gp`` and ``nsga2`` can have several objectives, the others none but the selecting metric.
    """
    if objectives is None:
        return ()
    chosen = tuple(map(objective_name, objectives))
    if build is NSGA2 or (build is GaussianProcess and len(chosen) != 1):
        _check_recorded(chosen, selection)
        return checked_objectives(chosen)
    if chosen != (selection.stored_name,):
        raise ValueError(
            f'search.objectives must be ["{selection.stored_name}"] for the searcher {name}, but got '
            f'{list(objectives)}; use searcher = "gp" or "nsga2" for several objectives, or leave the objectives out'
        )
    return chosen


def _check_recorded(objectives: Sequence[str], selection: Selection) -> None:
    """Raise ``ValueError`` for an objective that is no cost and no metric that the search records."""
    for name in objectives:
        if is_test_metric(name):
            raise ValueError(f"search.objectives: {unselectable(name)}")
        if name not in (*OBJECTIVES, *selection.recorded, selection.stored_name):
            hint = unknown("objective", name, [*OBJECTIVES, *selection.recorded])
            if is_metric(name):
                hint = f"the objective {name!r} must be recorded, but is not; add it to search.record_metrics"
            raise ValueError(f"search.objectives: {hint}")
