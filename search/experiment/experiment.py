"""The experiment: one search, defined by a search file and checked before it starts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...models.data.shapes import WITHOUT_FILES
from ...spaces.architectures.budget import Budget
from ...spaces.architectures.recorded import custom_kinds
from ...spaces.constrained.constrained_space import BudgetError, ConstrainedSpace
from ...spaces.constrained.feasibility import check_feasible
from ...spaces.metrics.registry import MULTI_LABEL_METRIC
from ...spaces.metrics.selection import BY_ACCURACY, Selection
from ...spaces.parameters.domains import choice
from ...spaces.parameters.task_kinds import CLASSIFICATION
from ...spaces.recipes.recipe import RecipeSpace
from ...spaces.search_space.space import Space
from ..config.schema import DECODING_KEYS, PluginsSection, SearchFile, SpaceSection, StageSection
from ..config.selecting_metric import selection_of
from ..config.train_section import BUILT_IN_TRAINING, TrainSection
from .check_proxies import check_proxies
from .custom_training import check_train, keys_of_modules, with_modules_of_train
from .fidelity import check_fidelity
from .network_settings import backbones_of, networks_of, with_published_decoding
from .several_ranks import check_ranks
from .stored_settings import BEFORE_AUTO, search_file_of
from .used_parts import registered_records, registries

if TYPE_CHECKING:
    from ...models.optimization.custom_parts import CustomParts
    from ...results.database.records import RunRecord, Trial
    from ...spaces.architectures.architecture import Architecture
    from ...spaces.search_space.space import Template
    from ..plugins.loading import Plugin
    from ..searchers.base import Searcher
    from ..searchers.earlier_runs import EarlierRun
    from ..searchers.search_plan import SearchPlan
    from ..tasks.base import Task


@dataclass(frozen=True)
class Experiment:
    """A search whose parts exist and fit together; :func:`experiment` makes and checks one.

    Attributes:
        file: The search file.
        input_shape: Channels, height and width of the images.
        classes: Number of classes; for zero-shot data the number of outputs of the image network.
        path_notes: Sentences for the user on the paths of the file.
        multi_label: Whether an image may have several labels, or none.
    """

    file: SearchFile
    input_shape: tuple[int, int, int]
    classes: int
    path_notes: tuple[str, ...] = ()
    multi_label: bool = False

    @property
    def task(self) -> "Task":
        """The task that the networks learn: classification or zero-shot."""
        from ..tasks.registry import task_of

        return task_of(self.file)

    @property
    def plugins(self) -> tuple["Plugin", ...]:
        """The plug-ins that the search file names."""
        from ..plugins.loading import loaded_plugins

        return loaded_plugins(self.file.plugins.modules)

    @cached_property
    def budget(self) -> Budget:
        """The limits of ``[budget]``."""
        return Budget.of(self.file.budget)

    @cached_property
    def recipes(self) -> RecipeSpace:
        """The recipes that the search can choose from."""
        return RecipeSpace.of(self.task.recipe, **self.file.recipe)

    @cached_property
    def selection(self) -> Selection:
        """The metric that selects, and those that are recorded with it."""
        return selection_of(self.file)

    @cached_property
    def custom(self) -> "CustomParts":
        """The custom loss, optimizer and training function of ``[train]``."""
        from ..plugins.references import custom_parts

        return custom_parts(self.file.train)

    @cached_property
    def space(self) -> Space:
        """The search space for the images and classes of the data."""
        return self.space_within(self.budget)

    def space_within(self, budget: Budget) -> Space:
        """The same for another budget; it decides which networks are measured at image sizes that no table has."""
        return build_space(self.file.space, self.input_shape, self.classes, budget)

    @cached_property
    def constrained(self) -> ConstrainedSpace:
        """The space under the budget of its architectures.

        A task may reserve a part of the budget, such as the head of a zero-shot model. Memory is predicted for the
        largest batch size of the recipe, so that a trial with any batch size is within the budget.
        """
        budget = self.task.remaining_budget(self.budget, self.space, self.recipes)
        return ConstrainedSpace(self.space, budget, self.recipes.largest("batch_size"))

    def check(self) -> None:
        """Raise ``ValueError`` with the rule, the value and a fix for anything that cannot work."""
        from ..schedulers.settings import check_scheduler
        from ..searchers.registry import check_searcher

        check_train(self.file, self.task.name)
        search, epochs = self.file.search, self.recipes.largest("epochs")
        check_scheduler(search, epochs)
        check_fidelity(self.file, self.recipes, self.task.name, self.input_shape[1])
        check_ranks(self.file, self.recipes, self.task.name)
        check_searcher(search.searcher, search.sampler)
        check_proxies(search)
        if self.task.name == CLASSIFICATION:  # the outputs of a zero-shot network are no classes
            self.selection.check_classes(self.classes, multi_label=self.multi_label)
        self._check_budget()
        self.plan(self.constrained)  # raises for a searcher that does not support the recipes or objectives

    def _check_budget(self) -> None:
        """Raise ``BudgetError`` where no architecture fits; the message has the part that the task reserves."""
        try:
            check_feasible(self.constrained)
        except BudgetError as error:
            left, whole = self.constrained.budget.limits(), self.budget.limits()
            reserved = {name: high - (left[name][1] or 0) for name, (_, high) in whole.items() if high is not None}
            if not any(reserved.values()):
                raise
            head = ", ".join(f"{name} {count:,}" for name, count in reserved.items())
            raise BudgetError(
                f"{error}; these limits are the budget without the largest head of the recipe, which takes {head}"
            ) from None

    @cached_property
    def designs(self) -> "list[Architecture]":
        """The networks of ``search.start_from``; each is in the space and within the budget."""
        from ..searchers.initial_designs import designs_of

        return designs_of(self.file.search.start_from, self.constrained)

    def searcher(self, constrained: ConstrainedSpace, runs: "Sequence[EarlierRun]" = ()) -> "Searcher":
        """Return the searcher that the file selects, for the space ``constrained``; ``runs`` are its priors."""
        from ..searchers.registry import make_searcher

        search = self.file.search
        return make_searcher(
            search.searcher,
            constrained,
            self.recipes,
            search.objectives,
            self.selection,
            earlier=runs,
            standard_prior=search.prior != "none",
            latency_limit_ms=self.learned_limit_ms,
            sampler=search.sampler,
            repeat_networks=search.repeat_networks,
            per_second=search.acquisition == "per_second",
        )

    @property
    def learned_limit_ms(self) -> float | None:
        """The limit of latency that the searcher learns to keep from timed trials; None if it goes by predictions."""
        learns = self.file.search.searcher == "gp" and self.file.latency.feasibility == "learned"
        return self.budget.latency_ms if learns else None

    @property
    def starts_with_default_recipe(self) -> bool:
        """Whether the first trial has the default recipe, as a baseline.

        A run that learns from earlier runs has a baseline in them. Zero-shot models have no default recipe.
        """
        return self.task.name == CLASSIFICATION and not self.file.search.warm_start

    def plan(
        self,
        constrained: ConstrainedSpace,
        *,
        designs: "Sequence[Architecture]" = (),
        earlier: "Sequence[Trial]" = (),
        runs: "Sequence[EarlierRun]" = (),
    ) -> "SearchPlan":
        """Return the plan of a run over ``constrained``: start_from, ``designs``, then what the searcher proposes.

        The searcher also learns from ``earlier``, the trials of other runs, and from other ``runs`` as priors.
        Raises ``ValueError`` for a searcher that does not support these recipes or objectives.
        """
        from ..searchers.network_features import first_designs
        from ..searchers.search_plan import SearchPlan

        families = [] if earlier or runs else first_designs(self.file.search.searcher, constrained)
        return SearchPlan(
            partial(self.searcher, runs=runs),
            constrained,
            self.recipes,
            designs=(*self.designs, *designs, *families),
            earlier=earlier,
            default_recipe_first=self.starts_with_default_recipe,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the search file with all defaults; designs that are given as files are inlined.

        The result is stored with the run, which must not change when such a file is edited or deleted.
        """
        settings = self.file.model_dump()
        plugins = settings.pop("plugins")
        registered = registered_records(self.file, self.space)
        if plugins["modules"] or registered:  # runs without plug-ins have the same settings as those of version 0.1.0
            recorded = {plugin.module: plugin.to_json() for plugin in self.plugins}
            settings["plugins"] = {**plugins, "recorded": recorded, "registered": registered}
        if self.file.data.name in WITHOUT_FILES:  # these data do not depend on how image files are decoded
            settings["data"] = {key: value for key, value in settings["data"].items() if key not in DECODING_KEYS}
        # runs by accuracy have the same settings as those of version 0.1.0, where it was the default
        if self.selection == BY_ACCURACY and not self.multi_label:
            for key in self.selection.to_json():
                del settings["search"][key]
        else:
            settings["search"] |= self.selection.to_json()
        if not self.file.train.references:
            del settings["train"]  # for the same reason
        for key in ("time_limit", "direction", "sampler", "fidelity", "acquisition"):
            if settings["search"][key] is None:
                del settings["search"][key]  # for the same reason
        for key, value in BEFORE_AUTO.items():  # runs have the same settings as those before these keys
            if settings["data"].get(key) == value:
                del settings["data"][key]
        if settings["data"]["class_split"] is None:
            del settings["data"]["class_split"]
        for key in ("networks", "image_size"):
            if settings["space"][key] is None:
                del settings["space"][key]
        if settings["search"]["start_from"]:
            settings["search"]["start_from"] = [design.to_json() for design in self.designs]
        return settings


def load_recorded_blocks(run: "RunRecord", architecture: Mapping[str, Any]) -> None:
    """Load the plug-ins of ``run`` if ``architecture`` has custom blocks; ``PluginError`` where they have changed.

    A trained network needs its blocks, and no metric, data set or searcher.
    """
    if "plugins" not in run.config or not custom_kinds(architecture):
        _load_plugins(PluginsSection())
        return
    plugins = search_file_of(run).plugins
    blocks = {
        module: record.model_copy(update={"parts": {"blocks": record.parts["blocks"]}})
        for module, record in plugins.registered.items()
        if "blocks" in record.parts
    }
    _load_plugins(plugins.model_copy(update={"registered": blocks}))


def _load_plugins(
    plugins: PluginsSection, folders: Sequence[Path] = (), train: TrainSection = BUILT_IN_TRAINING
) -> None:
    from ..plugins.loading import load_plugins
    from ..plugins.registered import check_registered

    load_plugins(plugins.modules, folders=folders, recorded=plugins.recorded, keys=keys_of_modules(train))
    check_registered(plugins.registered, partial(registries, train))


def load_run_data(run: "RunRecord", experiment: Experiment) -> Any:
    """Load the data of ``run`` again from its ``experiment``; raise ``ValueError`` where the data have changed."""
    data, record = experiment.task.load(experiment.file)
    if record.content_hash != run.dataset_hash:
        raise ValueError(
            f"the data {run.dataset!r} must be those of run {run.name!r}, with the hash {run.dataset_hash[:12]}, but "
            f"their hash is now {record.content_hash[:12]}; restore the old files, or start a new run"
        )
    return data


def experiment(file: SearchFile, *, folders: Sequence[Path] = (), notes: Sequence[str] = ()) -> Experiment:
    """Load the plug-ins of ``file``, looked for in ``folders`` too, and return its checked experiment.

    ``notes`` are sentences for the user on the paths of the file.

    Raises ``ValueError`` if a setting cannot work.
    """
    from ..tasks.registry import task_of

    file = with_modules_of_train(file)
    _load_plugins(file.plugins, folders, file.train)
    task = task_of(file)
    # the task checks the keys of its data first: the shape of wrong data cannot be described
    task.check(file)
    shape = task.describe(file)
    if shape.multi_label and "metric" not in file.search.model_fields_set:
        file = file.model_copy(update={"search": file.search.model_copy(update={"metric": MULTI_LABEL_METRIC})})
    file = with_published_decoding(file, task.name)
    result = Experiment(file, shape.input_shape, shape.n_classes, tuple(notes), shape.multi_label)
    result.check()
    return result


def build_space(section: SpaceSection, input_shape: tuple[int, int, int], classes: int, budget: Budget) -> Space:
    """Return the space of ``[space]``: a named one, one from Python, backbones, or stages."""
    from ...spaces.blocks.standard import Conv, GlobalAverage, LocalContrast
    from ...spaces.search_space.image_sizes import with_image_sizes
    from ...spaces.search_space.named import named_space

    if section.written is not None:
        return _python_space(section, input_shape, classes)
    if section.networks is not None:
        return networks_of(section, input_shape, classes, budget)
    if section.backbone is not None:
        if section.image_size is not None:
            raise ValueError(
                "space.backbone has the image size of the data, but space.image_size is also set; use space.networks "
                "instead of backbone, or remove image_size"
            )
        return backbones_of(section.backbone, input_shape, classes)
    if section.name is None and section.stages is None and input_shape[1:] == (1, 1):
        return Space(input_shape, (), classes, "features")  # own features: one linear layer
    if section.stages is None:
        if section.contrast is not False:
            raise ValueError(
                "space.contrast needs stages, but the space is a name; use stages instead, or remove contrast"
            )
        name = section.name or "mixed"
        return named_space(name, input_shape=input_shape, classes=classes, image_size=section.image_size)
    if section.name is not None:
        raise ValueError(
            f"a space is a name or stages, but both are set: space.name is {section.name!r}; remove one of them"
        )
    stages = [_stage(number, s) for number, s in enumerate(section.stages)]
    width = choice(*section.stem) if isinstance(section.stem, list) else section.stem
    stem = (Conv(width),) if width is not None else ()
    normalised: dict[bool, tuple[Any, ...]] = {True: (LocalContrast(),), False: ()}
    contrast_options = section.contrast
    contrast = (
        (choice(*map(normalised.__getitem__, contrast_options)),)
        if isinstance(contrast_options, list)
        else normalised[contrast_options]
    )
    blocks = (*contrast, *stem, *stages, GlobalAverage())
    return Space(input_shape, with_image_sizes(lambda _: blocks, input_shape, section.image_size), classes, "stages")


def _python_space(section: SpaceSection, input_shape: tuple[int, int, int], classes: int) -> Space:
    """Return the space of ``space.written``; raise ``ValueError`` where it does not fit the images and classes."""
    keys = ("name", "stages", "stem", "networks", "backbone", "image_size")
    others = [key for key in keys if getattr(section, key) is not None]
    if others or section.contrast is not False:
        raise ValueError(
            f"space.written is a complete space, but space.{[*others, 'contrast'][0]} is also set; remove one of them"
        )
    try:
        space = Space.from_json(section.written or {})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"space.written must be the result of Space.to_json(), but it is not valid: {type(error).__name__}: {error}"
        ) from None
    if (space.input_shape, space.classes) != (input_shape, classes):
        raise ValueError(
            f"space.written must fit the data, with images of {input_shape} and {classes} classes, but it has "
            f"{space.input_shape} and {space.classes}; create the space with the shape and classes of the data"
        )
    return space


def _stage(number: int, section: StageSection) -> "Template":
    """Return the stage of one table; an error has its number."""
    from ...spaces.search_space.stages import stage

    try:
        values = section.model_dump(exclude={"block"})
        return stage(section.block, **values)
    except ValueError as error:
        raise ValueError(f"space.stages.{number}: {error}") from None
