"""Ask and tell: use the searchers in a custom training loop, without Ray and without a database."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ...results.database.atomic_file import atomic_write
from ...results.database.records import COSTS, DEVICE_COSTS, History, RunRecord, Trial
from ...results.query.pareto import pareto
from ...spaces.architectures.architecture import Architecture
from ...spaces.architectures.budget import Budget
from ...spaces.architectures.recorded import architecture_or_none
from ...spaces.constrained.constrained_space import ConstrainedSpace
from ...spaces.constrained.feasibility import check_feasible
from ...spaces.metrics.registry import find_metric
from ...spaces.recipes.recipe import Recipe, RecipeSpace
from ...spaces.search_space.encoding import decisions_of
from ...spaces.search_space.space import Space
from ..searchers.base import Proposal, Searcher, check_inside_budget, proposal_rng, trial_seed
from ..searchers.earlier_runs import MIN_PRIOR_TRIALS, EarlierRun, overlap
from ..searchers.registry import checked_ask, make_searcher
from .arguments import brief, check_arguments
from .asked import Asked, ended_trial, number_of, running_trial, signed
from .spaces import constrained_of

if TYPE_CHECKING:
    from ...results.database.store import Store
    from ...results.database.url import DatabaseLocation

VALUE, LATENCY = "value", "latency_ms"  # objectives that tell() reports
VALUES = {VALUE: "val_accuracy"}  # how the record of a trial names them
ALL = "all"  # the value of warm_start for every run of the database

_TRIAL_KEYS = ("architecture", "recipe", "choices", "seed", "ended", "value")  # of a trial in state_dict()


@dataclass
class AskTell:
    """A searcher for a custom training loop: call :meth:`ask`, train the trial, pass its value to :meth:`tell`.

    Every trial is inside the budget, and no trial is proposed twice. Several trials may be in training at the same
    time. :meth:`state_dict` and :meth:`load_state_dict` save it as JSON types and restore it in another process.
    """

    space: ConstrainedSpace
    recipes: RecipeSpace
    searcher: str
    seed: int
    direction: str
    options: Mapping[str, Any] = field(default_factory=dict)  # of make_searcher
    objectives: tuple[str, ...] = ()
    _trials: list[Trial] = field(default_factory=list)
    _values: dict[int, float] = field(default_factory=dict)  # as reported, by the number of the trial

    def __post_init__(self) -> None:
        self._searcher: Searcher = make_searcher(self.searcher, self.space, self.recipes, **self.options)

    def __getstate__(self) -> dict[str, Any]:
        """Return all but the searcher, which holds open iterators; all of its state follows from the trials."""
        return {name: value for name, value in vars(self).items() if name not in ("_searcher", "space")} | {
            "space": (self.space.space, self.space.budget, self.space.batch_size, self.space.latency_model)
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self.space = ConstrainedSpace(*state["space"])
        self.__post_init__()

    def ask(self) -> Asked | None:
        """Return the next trial, or None if every architecture inside the budget was tried."""
        number = len(self._trials)
        history = History(tuple(self._trials))
        proposal = checked_ask(self._searcher, history, proposal_rng(self.seed, number))
        if proposal is None:
            return None
        check_inside_budget(self.space, proposal.architecture, repr(self.searcher))
        asked = Asked(number, trial_seed(self.seed, number), proposal)
        self._trials.append(self._trial(asked))
        return asked

    def tell(self, trial: Asked | int, value: float | None, *, latency_ms: float | None = None) -> None:
        """Report the value of a trial; a larger value is better unless ``direction`` is "minimize".

        ``latency_ms`` is a measured latency, where that is an objective. None and NaN mean that the trial failed.
        Raises ``ValueError`` if :meth:`ask` did not return the trial, or if the trial already has a value;
        ``TypeError`` if the value is not one number.
        """
        number = trial.number if isinstance(trial, Asked) else trial
        if type(number) is not int or not 0 <= number < len(self._trials):
            raise ValueError(
                f"tell() takes one of the {len(self._trials)} trials that ask() returned, but got {trial!r}; "
                "pass the trial or its number"
            )
        if self._trials[number].state.final:
            raise ValueError(
                f"a trial takes one value, but trial {number} already has the value {self._values.get(number)}; "
                "call tell() once for each trial"
            )
        measured = number_of(latency_ms)
        if (LATENCY in self.objectives) == (measured is None) and value is not None:
            raise ValueError(
                f"tell() takes latency_ms exactly where it is an objective, but got {latency_ms!r} for the objectives "
                f"{list(self.objectives)}; write tell(trial, 0.93, latency_ms=2.5), or change the objectives"
            )
        self._trials[number] = self._ended(self._trials[number], number_of(value), self._values, measured)

    def state_dict(self) -> dict[str, Any]:
        """Return all trials with their values as JSON types."""
        return {"seed": self.seed, "direction": self.direction, "trials": [self._to_json(one) for one in self._trials]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state``, the result of :meth:`state_dict` of a loop with the same arguments.

        A trial without a value is still in training: :meth:`tell` takes its value by its number. Raises ``ValueError``
        if it is no such result, if it is of another seed or direction, or if it has a trial outside the budget or the
        space.
        """
        _check_keys("the state", state, ("seed", "direction", "trials"))
        for name in ("seed", "direction"):
            if state[name] != (value := getattr(self, name)):
                raise ValueError(
                    f"a state must be loaded with the {name} it was saved with, {state[name]!r}, but got {value!r}; "
                    f"pass {name}={state[name]!r} to ask_tell()"
                )
        trials: list[Trial] = []
        values: dict[int, float] = {}
        for number, row in enumerate(state["trials"]):
            _check_keys(f"trial {number} of the state", row, _TRIAL_KEYS)
            architecture, recipe = Architecture.from_json(row["architecture"]), Recipe.from_json(row["recipe"])
            check_inside_budget(self.space, architecture, f"trial {number} of the state")
            if decisions_of(self.space.space, architecture) is None:
                raise ValueError(
                    f"trial {number} of the state must be in the space {self.space.space.name!r}, but is "
                    f"{architecture}; pass the space with which the state was saved to ask_tell()"
                )
            trial = self._trial(Asked(number, row["seed"], Proposal(architecture, recipe, row["choices"])))
            ended = row["ended"]
            trials.append(self._ended(trial, row["value"], values, row.get(LATENCY)) if ended else trial)
        self._trials, self._values = trials, values

    def save(self, path: str | Path) -> None:
        """Write :meth:`state_dict` to a JSON file; a process that is killed leaves the old file.

        Raises ``ValueError`` if the folder does not exist or the path is one.
        """
        path = Path(path)
        if path.is_dir() or not path.parent.is_dir():
            problem = f"{str(path)!r} is a folder" if path.is_dir() else f"the folder {str(path.parent)!r} is missing"
            raise ValueError(f"save() needs a file in an existing folder, but {problem}; create it, or change the path")
        with atomic_write(path) as draft:
            draft.write_text(json.dumps(self.state_dict()), encoding="utf-8")

    def load(self, path: str | Path) -> None:
        """Continue from a file that :meth:`save` has written; see :meth:`load_state_dict`."""
        try:
            state = json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ValueError(
                f"load() reads a file of save(), but {str(path)!r} cannot be read: {error}; check the path"
            ) from error
        self.load_state_dict(state)

    @property
    def best(self) -> tuple[Asked, float] | None:
        """The trial with the best value, and the value; None if no trial has a value."""
        finished = [trial for trial in self._trials if trial.state.finished]
        if not finished:
            return None
        best = max(finished, key=lambda one: (self._signed(self._values[one.number]), -one.params, -one.number))
        return self._asked(best), self._values[best.number]

    @property
    def front(self) -> list[tuple[Asked, float]]:
        """The trials, with their values, that no other trial beats in all objectives; best value first."""
        found = pareto(self._trials, [VALUES.get(name, name) for name in self.objectives or (VALUE,)])
        shown = sorted(found, key=lambda one: (-self._signed(self._values[one.number]), one.number))
        return [(self._asked(one), self._values[one.number]) for one in shown]

    def _asked(self, trial: Trial) -> Asked:
        architecture, recipe = Architecture.from_json(trial.architecture), Recipe.from_json(trial.recipe)
        return Asked(trial.number, trial.seed, Proposal(architecture, recipe, trial.choices))

    def _trial(self, asked: Asked) -> Trial:
        """Return ``asked`` as a running trial of a history, which searchers read."""
        return running_trial(asked, self.space.device_metrics(asked.architecture), self.space.batch_size)

    def _to_json(self, trial: Trial) -> dict[str, Any]:
        return {
            "architecture": trial.architecture,
            "recipe": trial.recipe,
            "choices": trial.choices,
            "seed": trial.seed,
            "ended": trial.state.final,
            "value": self._values.get(trial.number),
            **({} if trial.latency_ms is None else {LATENCY: trial.latency_ms}),
        }

    def _ended(self, trial: Trial, value: float | None, values: dict[int, float], latency_ms: float | None) -> Trial:
        if value is not None and not math.isnan(value):
            values[trial.number] = value
        return ended_trial(trial, value, self.direction, latency_ms)

    def _signed(self, value: float) -> float:
        return signed(value, self.direction)


def _check_keys(what: str, state: Any, keys: Sequence[str]) -> None:
    """Raise ``ValueError`` unless ``state`` is a mapping with ``keys``."""
    missing = [key for key in keys if not isinstance(state, Mapping) or key not in state]
    if missing:
        raise ValueError(
            f"{what} must be a mapping with the keys {', '.join(keys)}, but is a {type(state).__name__} without "
            f"{', '.join(missing)}; pass the result of state_dict()"
        )
    if not isinstance(state.get("trials", []), list):
        raise ValueError(f"trials of {what} must be a list, but is {brief(state['trials'])}; pass that of state_dict()")


def _earlier_runs(
    warm_start: Sequence[str | Mapping[str, Any]] | str,
    database: "DatabaseLocation | None",
    constrained: ConstrainedSpace,
) -> list[EarlierRun]:
    """Return the earlier runs: runs of a database by name, or states of other loops.

    Raises ``ValueError`` for a run with too few finished trials, or whose networks have no layer of the space.
    """
    given = isinstance(warm_start, Sequence) and (not isinstance(warm_start, str) or warm_start == ALL)
    entries = warm_start if given and warm_start != ALL else ()
    names = [one for one in entries if isinstance(one, str)]
    if not given or (database is None and (names or warm_start == ALL)):
        raise ValueError(
            f'warm_start must be a list of results of state_dict(), or with a database a list of runs or "all", '
            f"but got {brief(warm_start)}; write warm_start=['earlier'], database='runs/archsieve.db'"
        )
    runs = [_run_of_state(f"state {number}", one) for number, one in enumerate(entries) if not isinstance(one, str)]
    if database is not None and (names or warm_start == ALL):
        from ...results.database.store import open_store  # loads SQLAlchemy, which a loop of one's own does not need

        with open_store(database) as store:
            runs += [
                _run_of_database(store, run) for run in (store.runs() if warm_start == ALL else map(store.run, names))
            ]
    for run in runs:
        finished, shared = sum(trial.state.finished for trial in run.trials), overlap(run.networks, constrained)
        if warm_start != ALL and (finished < MIN_PRIOR_TRIALS or shared == 0):
            raise ValueError(
                f"warm_start: an earlier run must have {MIN_PRIOR_TRIALS} finished trials and layers of the space "
                f"{constrained.space.name!r}, but {run.name!r} has {finished} and {shared:.0%} of its layers in "
                "common with it; leave it out"
            )
    return runs


def _run_of_database(store: "Store", run: RunRecord) -> EarlierRun:
    read = [(one, architecture_or_none(one.architecture)) for one in store.history(run.run_id) if one.state.final]
    known = [(one, network) for one, network in read if network is not None]
    return EarlierRun(run.name, tuple(one for one, _ in known), tuple(network for _, network in known))


def _run_of_state(name: str, state: Mapping[str, Any]) -> EarlierRun:
    """Return the trials of another loop, which may have another space, as an earlier run."""
    _check_keys(f"warm_start: {name}", state, ("seed", "direction", "trials"))
    trials, networks = [], []
    for number, row in enumerate(state["trials"]):
        _check_keys(f"warm_start: trial {number} of {name}", row, _TRIAL_KEYS)
        if row["ended"]:
            architecture, recipe = Architecture.from_json(row["architecture"]), Recipe.from_json(row["recipe"])
            trial = running_trial(Asked(number, row["seed"], Proposal(architecture, recipe, row["choices"])), {}, None)
            trials.append(ended_trial(trial, row["value"], state["direction"]))
            networks.append(architecture)
    return EarlierRun(name, tuple(trials), tuple(networks))


def ask_tell(
    space: Space | ConstrainedSpace | str,
    budget: Budget | Mapping[str, Any] | None = None,
    recipe: RecipeSpace | Recipe | Mapping[str, Any] | None = None,
    *,
    searcher: str = "gp",
    seed: int = 0,
    direction: Literal["maximize", "minimize"] | None = None,
    metric: str | None = None,
    prior: Literal["standard", "none"] = "standard",
    warm_start: Sequence[str | Mapping[str, Any]] | str = (),
    database: "DatabaseLocation | None" = None,
    sampler: Mapping[str, Any] | None = None,
    objectives: Sequence[str] = (),
) -> AskTell:
    """Return a searcher for a custom training loop, with the methods ``ask()`` and ``tell(trial, value)``.

    ``recipe`` is a recipe, or a mapping whose :class:`Range` and ``choice`` values are searched; without it the default
    recipe is used for every trial. ``direction`` sets whether a larger value is better, which is the default; or
    ``metric`` names the metric of the values, such as "log_loss", whose direction is known. The same seed and the same
    values give the same trials.

    ``prior`` is what ``gp`` expects before the first value, as in a search file. ``warm_start`` has what ``gp`` learns
    from: names of runs in ``database``, "all" of them, or results of :meth:`AskTell.state_dict`. ``sampler`` has the
    arguments of a sampler of Optuna. ``objectives``, for ``gp`` and ``nsga2``, are two or more of "value", costs such
    as "params" and "macs", which are known, and "latency_ms", which :meth:`AskTell.tell` takes; :attr:`AskTell.front`
    has the best trials.

    Raises :class:`BudgetError` if no architecture of the space is inside the budget.
    """
    check_arguments("ask_tell", {"searcher": searcher, "seed": seed, "metric": metric})
    chosen, constrained = _direction(direction, metric), constrained_of(space, budget)
    check_feasible(constrained)
    if prior not in ("standard", "none"):
        raise ValueError(f"prior must be 'standard' or 'none', but got {prior!r}; use one of them")
    runs = _earlier_runs(warm_start, database, constrained)
    if runs and searcher != "gp":
        raise ValueError(f"warm_start needs the searcher 'gp', but got {searcher!r}; leave warm_start out")
    options = {"earlier": runs, "standard_prior": prior != "none", "sampler": sampler}
    if objectives:
        _check_objectives(objectives)
        options["objectives"] = [VALUES.get(name, name) for name in objectives]
    return AskTell(constrained, recipes_of(recipe), searcher, seed, chosen, options, tuple(objectives))


def _check_objectives(objectives: Sequence[str]) -> None:
    known = (VALUE, *COSTS, *DEVICE_COSTS, LATENCY)
    if isinstance(objectives, str) or any(name not in known for name in objectives) or len(objectives) < 2:
        raise ValueError(
            f"objectives of ask_tell() must be two or more of {', '.join(known)}, but got {brief(objectives)}; write "
            'objectives=["value", "macs"]'
        )


def _direction(direction: str | None, metric: str | None) -> str:
    """Return the direction that is given, or that of the metric; raise ``ValueError`` if both are and differ."""
    if direction not in (None, "maximize", "minimize"):
        raise ValueError(f"direction must be 'maximize' or 'minimize', but got {direction!r}; use one of them")
    if metric is None:
        return direction or "maximize"
    known = "maximize" if find_metric(metric).higher_is_better else "minimize"
    if direction not in (None, known):
        raise ValueError(f"the direction of {metric} is {known!r}, but got {direction!r}; leave direction out")
    return known


def recipes_of(recipe: RecipeSpace | Recipe | Mapping[str, Any] | None) -> RecipeSpace:
    """Return the recipes that ``recipe`` describes; without it the default recipe alone."""
    if isinstance(recipe, RecipeSpace):
        return recipe
    check_arguments("ask_tell", {"recipe": recipe})
    given = recipe.to_json() if isinstance(recipe, Recipe) else dict(recipe or {})
    return RecipeSpace.of(**given)
