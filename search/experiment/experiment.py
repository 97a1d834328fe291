"""The experiment: one search, described by a search file and checked before anything starts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ...results.database.records import IMPORTED
from ...spaces.architectures.budget import Budget
from ...spaces.constrained.constrained_space import BudgetError, ConstrainedSpace
from ...spaces.constrained.feasibility import check_feasible
from ...spaces.parameters.domains import Range, choice
from ...spaces.parameters.lookup import unknown
from ...spaces.parameters.task_kinds import CLASSIFICATION
from ...spaces.recipes.recipe import RecipeSpace
from ...spaces.search_space.space import Space
from ..config.schema import SearchFile, SearchSection, SpaceSection, StageSection

if TYPE_CHECKING:
    from ...results.database.records import RunRecord, Trial
    from ...spaces.architectures.architecture import Architecture
    from ...spaces.search_space.space import Template
    from ..plugins.loading import Plugin
    from ..searchers.base import Searcher
    from ..searchers.search_plan import SearchPlan
    from ..tasks.base import Task


@dataclass(frozen=True)
class Experiment:
    """A checked search: every part of it exists, fits together and is worth starting.

    Raises ``ValueError`` with the law, the facts and the cure for anything that cannot work, impossible budgets
    included.
    """

    file: SearchFile
    input_shape: tuple[int, int, int]
    classes: int

    @property
    def task(self) -> "Task":
        """What the networks are to learn."""
        from ..tasks.registry import task_of

        return task_of(self.file)

    @property
    def plugins(self) -> tuple["Plugin", ...]:
        """The plug-ins that the search file names."""
        from ..plugins.loading import loaded_plugins

        return loaded_plugins(self.file.plugins.modules)

    @cached_property
    def budget(self) -> Budget:
        """The limits."""
        return Budget.of(self.file.budget)

    @cached_property
    def recipes(self) -> RecipeSpace:
        """The recipe space."""
        return RecipeSpace.of(
            self.task.recipe, **{name: _hole(name, value) for name, value in self.file.recipe.items()}
        )

    @cached_property
    def space(self) -> Space:
        """The space for this data's pictures and classes."""
        return build_space(self.file.space, self.input_shape, self.classes)

    @cached_property
    def sieve(self) -> ConstrainedSpace:
        """The space through what of the budget is the architecture's; memory at the largest batch allowed."""
        budget = self.task.remaining_budget(self.budget, self.space, self.recipes)
        return ConstrainedSpace(self.space, budget, self.recipes.largest("batch_size"))

    def check(self) -> None:
        """Raise where any part cannot work."""
        from ..schedulers.settings import check_scheduler
        from ..searchers.registry import SEARCHERS

        search, epochs = self.file.search, self.recipes.largest("epochs")
        check_scheduler(search, epochs)
        if search.searcher not in SEARCHERS:
            raise ValueError(f"search.searcher: {unknown('searcher', search.searcher, SEARCHERS)}")
        _check_proxies(search)
        self._check_budget()
        self.plan(self.sieve)

    def _check_budget(self) -> None:
        """Raise where nothing fits; where the task keeps a part of the budget, with how much that is."""
        try:
            check_feasible(self.sieve)
        except BudgetError as error:
            left, whole = self.sieve.budget.limits(), self.budget.limits()
            kept = {name: high - (left[name][1] or 0) for name, (_, high) in whole.items() if high is not None}
            if not any(kept.values()):
                raise
            told = ", ".join(f"{name} {count:,}" for name, count in kept.items())
            raise BudgetError(f"{error}; these figures are without the largest head of the recipe: {told}") from None

    @cached_property
    def designs(self) -> "list[Architecture]":
        """The networks of ``search.start_from``: points of the space, inside the budget."""
        from ..searchers.initial_designs import designs_of

        return designs_of(self.file.search.start_from, self.sieve)

    def searcher(self, sieve: ConstrainedSpace) -> "Searcher":
        """The searcher that the file names, over ``sieve``."""
        from ..searchers.registry import make_searcher

        search = self.file.search
        return make_searcher(search.searcher, sieve, self.recipes, search.objectives)

    @property
    def starts_with_default_recipe(self) -> bool:
        """Whether the first trial has the default recipe.

        A run that learns from earlier ones has its baseline in them, and zero-shot models have no default recipe.
        """
        return self.task.name == CLASSIFICATION and not self.file.search.warm_start

    def plan(
        self, sieve: ConstrainedSpace, *, designs: "Sequence[Architecture]" = (), earlier: "Sequence[Trial]" = ()
    ) -> "SearchPlan":
        """The proposals of a run over ``sieve``: its start_from, ``designs``, then what the searcher proposes.

        The searcher sees the ``earlier`` trials of other runs. Raises ``ValueError`` for a searcher that cannot have
        these recipes or objectives.
        """
        from ..searchers.search_plan import SearchPlan

        return SearchPlan(
            self.searcher,
            sieve,
            self.recipes,
            designs=(*self.designs, *designs),
            earlier=earlier,
            default_recipe_first=self.starts_with_default_recipe,
        )

    def to_json(self) -> dict[str, Any]:
        """The search file with every default filled in; of designs in files what they say, not where they lie."""
        said = self.file.model_dump()
        if not said["plugins"]["modules"]:
            del said["plugins"]  # runs without plug-ins have the same settings as those of version 0.1.0
        else:
            said["plugins"]["recorded"] = {plugin.module: plugin.to_json() for plugin in self.plugins}
        if said["search"]["start_from"]:
            said["search"]["start_from"] = [design.to_json() for design in self.designs]
        return said


def file_of(run: "RunRecord") -> SearchFile:
    """The search file of ``run``; ``ValueError`` where another tool made the run and there is none."""
    if IMPORTED in run.config:
        raise ValueError(
            f"run {run.name!r} was brought in from {run.config[IMPORTED]}: what it found can be asked and shown, but "
            "there is no search file to train by; write one with archsieve init, and start_from its best"
        )
    return SearchFile.model_validate(dict(run.config))


def load_recorded_plugins(run: "RunRecord") -> None:
    """Load the plug-ins of ``run``, which its architectures may need; ``PluginError`` where they have changed."""
    if "plugins" in run.config:
        from ..plugins.loading import load_plugins

        plugins = file_of(run).plugins
        load_plugins(plugins.modules, recorded=plugins.recorded)


def data_of(run: "RunRecord", experiment: Experiment) -> Any:
    """The data of ``run``, loaded again as its ``experiment`` says; ``ValueError`` where they are others now."""
    data, record = experiment.task.load(experiment.file)
    if record.content_hash != run.dataset_hash:
        raise ValueError(
            f"run {run.name!r} was made on other data: {run.dataset!r} had the hash {run.dataset_hash[:12]}, and now "
            f"has {record.content_hash[:12]}; bring the old files back, or start a new run"
        )
    return data


def experiment(file: SearchFile) -> Experiment:
    """Return the checked experiment that ``file`` describes, after loading the plug-ins that it names."""
    from ..plugins.loading import load_plugins
    from ..tasks.registry import task_of

    load_plugins(file.plugins.modules, recorded=file.plugins.recorded)
    task = task_of(file)
    task.check(file)
    shape = task.describe(file)
    found = Experiment(file, shape.input_shape, shape.n_classes)
    found.check()
    return found


def _check_proxies(search: SearchSection) -> None:
    """Raise for a proxy that does not exist, or a warm-up that trains more than there is to train."""
    warmup = search.warmup
    if not search.proxies and warmup is None:
        return
    from ...models.diagnostics.zero_cost_proxies import PROXIES  # imports torch: only where it is needed

    named = [("search.proxies", name) for name in search.proxies]
    for key, name in [*named, *([("search.warmup.proxy", warmup.proxy)] if warmup else [])]:
        if name not in PROXIES:
            raise ValueError(f"{key}: {unknown('proxy', name, PROXIES)}")
    most = min(search.trials, warmup.candidates) if warmup else 0
    if warmup and warmup.train > most:
        raise ValueError(
            f"search.warmup.train must be at most search.trials and search.warmup.candidates, but got {warmup.train} "
            f"with {search.trials} trials and {warmup.candidates} candidates; lower it to {most}"
        )


def build_space(section: SpaceSection, input_shape: tuple[int, int, int], classes: int) -> Space:
    """The named space, the one written out, backbones, or stages with a global average behind them."""
    from ...spaces.blocks.standard import Conv, GlobalAverage, LocalContrast
    from ...spaces.search_space.named import named_space

    if section.written is not None:
        return _written(section, input_shape, classes)
    if section.backbone is not None:
        return _backbones(section.backbone, input_shape, classes)
    if section.stages is None:
        if section.contrast is not False:
            raise ValueError("space.contrast goes with stages, but here the space is a name; write the stages out")
        return named_space(section.name or "mixed", input_shape=input_shape, classes=classes)
    if section.name is not None:
        raise ValueError(f"a space is a name or stages, but space.name is {section.name!r} and there are stages too")
    stages = [_stage(number, s) for number, s in enumerate(section.stages)]
    width = choice(*section.stem) if isinstance(section.stem, list) else section.stem
    stem = (Conv(width),) if width is not None else ()
    normalised: dict[bool, tuple[Any, ...]] = {True: (LocalContrast(),), False: ()}
    asked = section.contrast
    contrast = (choice(*map(normalised.__getitem__, asked)),) if isinstance(asked, list) else normalised[asked]
    return Space(input_shape, (*contrast, *stem, *stages, GlobalAverage()), classes, "stages")


def _written(section: SpaceSection, input_shape: tuple[int, int, int], classes: int) -> Space:
    """The space that Python handed over; it must take these pictures and tell these classes apart."""
    others = [key for key in ("name", "stages", "stem", "backbone") if getattr(section, key) is not None]
    if others or section.contrast is not False:
        raise ValueError(f"space.written is all of a space, but space.{[*others, 'contrast'][0]} is set too; drop one")
    try:
        space = Space.from_json(section.written or {})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"space.written holds what Space.to_json() writes, but it cannot be read: {type(error).__name__}: {error}"
        ) from None
    if (space.input_shape, space.classes) != (input_shape, classes):
        raise ValueError(
            f"space.written must take the pictures of the data, {input_shape} and {classes} classes, but it takes "
            f"{space.input_shape} and {space.classes}; write the space for these"
        )
    return space


def _stage(number: int, section: StageSection) -> "Template":
    """The stage of one table; an error names it."""
    from ...spaces.search_space.stages import stage

    try:
        return stage(
            section.block, depth=section.depth, width=section.width, kernel=section.kernel, halve=section.halve
        )
    except ValueError as error:
        raise ValueError(f"space.stages.{number}: {error}") from None


def _backbones(names: str | list[str], input_shape: tuple[int, int, int], classes: int) -> Space:
    """Whole networks of timm or torchvision, each with a linear layer behind it; built on no device to be priced."""
    from ...models.profiling.backbone_costs import priced_backbone

    blocks = [priced_backbone(name, input_shape) for name in ([names] if isinstance(names, str) else names)]
    return Space(input_shape, (choice(*blocks) if len(blocks) > 1 else blocks[0],), classes, "backbones")


def _hole(name: str, value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    known = ("low", "high", "log")
    for key in value:
        if key not in known:
            raise ValueError(unknown(f"key of recipe.{name}", key, known))
    if "low" not in value or "high" not in value:
        raise ValueError(
            f"recipe.{name} is a range and needs low and high, as in {{ low = 0.01, high = 1.0, log = true }}"
        )
    if type(value.get("log", False)) is not bool:
        raise ValueError(f"recipe.{name}.log must be true or false, but got {value['log']!r}")
    try:
        return Range(value["low"], value["high"], value.get("log", False))
    except ValueError as error:
        raise ValueError(f"recipe.{name}: {error}") from None
