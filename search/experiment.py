"""The experiment: one search, described by a search file and checked before anything starts."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from ..spaces.budget import Budget
from ..spaces.choices import Range, choice
from ..spaces.lookup import unknown
from ..spaces.recipe import RecipeSpace
from ..spaces.sieve import Sieve
from ..spaces.space import Space

MAX_TRIALS = 1_000_000
MAX_SEED = 2**32 - 1

WholeOrList = int | list[int]


class Section(BaseModel):
    """A table of the search file: strict types, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class DataSection(Section):
    """``[data]``: which pictures, and how they are split."""

    name: str = Field(default="digits", description="a data set of the table, or imagefolder")
    path: str | None = Field(default=None, description="where the files are, for all but digits")
    image_size: int | None = Field(default=None, ge=1, description="side in pixels, for an image folder")
    val_fraction: float = Field(
        default=0.2, gt=0, lt=1, description="share of the training pictures kept for validation"
    )
    test_fraction: float = Field(default=0.2, ge=0, lt=1, description="share kept for the test where none is given")
    seed: int = Field(default=0, ge=0, le=MAX_SEED, description="seed of the split")
    limit: int | None = Field(default=None, ge=1, description="use only so many pictures, to try things out")


class StageSection(Section):
    """``[[space.stages]]``: several blocks of one width; a list is a choice."""

    block: str | list[str] = Field(description="conv-pool, residual, inception")
    width: WholeOrList = Field(description="output channels")
    depth: WholeOrList = Field(default=1, description="blocks, or convolutions before the pool")
    kernel: WholeOrList = Field(default=3, description="kernel of conv-pool, odd")
    halve: bool = Field(default=True, description="whether the stage halves the picture")


class SpaceSection(Section):
    """``[space]``: a named space, or stages written out."""

    name: str | None = Field(default=None, description="a space of the catalogue: mixed, resnet-space, ...")
    stages: list[StageSection] | None = Field(default=None, description="stages, instead of a name")
    stem: WholeOrList | None = Field(default=None, description="channels of a first 3x3 convolution before the stages")


class SearchSection(Section):
    """``[search]``: who proposes, who stops early, how many trials."""

    searcher: str = Field(default="tpe", description="grid, random, tpe")
    scheduler: Literal["none", "asha"] = Field(default="none", description="none, or asha to stop weak trials early")
    trials: int = Field(default=24, ge=1, le=MAX_TRIALS, description="networks to train")
    seed: int = Field(default=0, ge=0, le=MAX_SEED, description="the same seed proposes the same networks")
    grace_epochs: int = Field(default=1, ge=1, description="asha: epochs before a trial may be stopped")
    reduction_factor: int = Field(default=3, ge=2, description="asha: one in so many goes on")


class ResourcesSection(Section):
    """``[resources]``: what one trial takes."""

    cpus_per_trial: float = Field(default=1, gt=0, description="cores of one trial")
    gpus_per_trial: float = Field(default=0, ge=0, description="GPUs of one trial, a fraction shares one")
    max_concurrent: int | None = Field(
        default=None, ge=1, description="trials at a time; as many as fit where left out"
    )
    precision: Literal["fp32", "bf16"] = Field(default="fp32", description="bf16 halves memory on a GPU")

    @field_validator("gpus_per_trial")
    @classmethod
    def _whole_above_one(cls, value: float) -> float:
        if value > 1 and value != int(value):
            raise ValueError("must be a fraction of one GPU or a whole number of GPUs")
        return value


class SearchFile(Section):
    """The whole search file."""

    name: str | None = Field(default=None, description="name of the run")
    data: DataSection = DataSection()
    budget: dict[str, Any] = Field(default={}, description="limits; nothing outside is ever proposed")
    space: SpaceSection = SpaceSection()
    recipe: dict[str, Any] = Field(default={}, description="how networks are trained; a list or a range is searched")
    search: SearchSection = SearchSection()
    resources: ResourcesSection = ResourcesSection()


@dataclass(frozen=True)
class Experiment:
    """A checked search: every part of it exists, fits together and is worth starting.

    Raises ``ValueError`` with the law, the facts and the cure for anything that cannot work, impossible budgets
    included.
    """

    file: SearchFile
    input_shape: tuple[int, int, int]
    classes: int

    @cached_property
    def budget(self) -> Budget:
        """The limits."""
        return Budget.of(self.file.budget)

    @cached_property
    def recipes(self) -> RecipeSpace:
        """The recipe space."""
        return RecipeSpace.of(**{name: _hole(name, value) for name, value in self.file.recipe.items()})

    @cached_property
    def space(self) -> Space:
        """The space for this data's pictures and classes."""
        return build_space(self.file.space, self.input_shape, self.classes)

    @cached_property
    def sieve(self) -> Sieve:
        """The space through the budget; memory at the largest batch the recipe allows."""
        return Sieve(self.space, self.budget, self.recipes.largest("batch_size"))

    def check(self) -> None:
        """Raise where any part cannot work."""
        from .searchers import SEARCHERS

        search, epochs = self.file.search, self.recipes.largest("epochs")
        if search.scheduler == "asha" and search.grace_epochs > epochs:
            raise ValueError(
                f"search.grace_epochs must be at most recipe.epochs, but got {search.grace_epochs} and {epochs}"
            )
        if search.searcher not in SEARCHERS:
            raise ValueError(f"search.searcher: {unknown('searcher', search.searcher, SEARCHERS)}")
        SEARCHERS[search.searcher](self.sieve, self.recipes)
        self.sieve.check()

    def to_json(self) -> dict[str, Any]:
        """The search file with every default filled in."""
        return self.file.model_dump()


def experiment(file: SearchFile) -> Experiment:
    """The checked experiment that ``file`` describes."""
    from ..models.data_shapes import describe_data

    data = file.data
    shape = describe_data(data.name, path=data.path, image_size=data.image_size)
    found = Experiment(file, shape.input_shape, shape.n_classes)
    found.check()
    return found


def build_space(section: SpaceSection, input_shape: tuple[int, int, int], classes: int) -> Space:
    """The named space, or the stages written out with a global average behind them."""
    from ..spaces.blocks import Conv, GlobalAverage
    from ..spaces.named_spaces import named_space
    from ..spaces.stages import stage

    if section.stages is None:
        return named_space(section.name or "mixed", input_shape=input_shape, classes=classes)
    if section.name is not None:
        raise ValueError(f"a space is a name or stages, but space.name is {section.name!r} and there are stages too")
    stages = [stage(s.block, depth=s.depth, width=s.width, kernel=s.kernel, halve=s.halve) for s in section.stages]
    width = choice(*section.stem) if isinstance(section.stem, list) else section.stem
    stem = (Conv(width),) if width is not None else ()
    return Space(input_shape, (*stem, *stages, GlobalAverage()), classes, "stages")


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
    return Range(value["low"], value["high"], value.get("log", False))
