"""Sections: the tables of a search file, as pydantic models; each key has its default and its sentence."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from ...spaces.architectures.architecture import Architecture
from ...spaces.search_space.space import Space

MAX_TRIALS = 1_000_000
MAX_SCORED = 100_000
MAX_TIMED = 10_000
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
    download: bool = Field(default=False, description="whether torchvision may fetch its own data sets into path")
    limit: int | None = Field(default=None, ge=1, description="use only so many pictures, to try things out")
    texts: str | None = Field(default=None, description="zero-shot: a folder with an article CLASS.txt for each class")
    unseen_fraction: float = Field(
        default=0.2, gt=0, lt=1, description="zero-shot: share of the classes that are never trained on"
    )
    seen: list[str] | None = Field(default=None, description="zero-shot: the classes to train on, instead of a share")
    unseen: list[str] | None = Field(default=None, description="zero-shot: the others, instead of a share")


class StageSection(Section):
    """``[[space.stages]]``: several blocks of one width; a list is a choice."""

    block: str | list[str] = Field(description="conv-pool, residual, inception")
    width: WholeOrList = Field(description="output channels")
    depth: WholeOrList = Field(default=1, description="blocks, or convolutions before the pool")
    kernel: WholeOrList = Field(default=3, description="kernel of conv-pool, odd")
    halve: bool = Field(default=True, description="whether the stage halves the picture")


class SpaceSection(Section):
    """``[space]``: a named space, or stages written out."""

    name: str | None = Field(default=None, description="mixed, resnet-space, ..., or one network: resnet20-cifar, ...")
    stages: list[StageSection] | None = Field(default=None, min_length=1, description="stages, instead of a name")
    contrast: bool | list[bool] = Field(
        default=False, description="stages: local contrast normalisation of the picture, before all else"
    )
    stem: WholeOrList | None = Field(default=None, description="channels of a first 3x3 convolution before the stages")
    backbone: str | list[str] | None = Field(
        default=None, description='zero-shot: "timm:NAME" or "torchvision:NAME" instead of a space'
    )
    written: dict[str, Any] | None = Field(
        default=None, description="from Python: any space, itself or as its to_json() writes it, instead of a name"
    )
    weights: str | None = Field(default=None, description="weights of the backbone, a state dict of torch.save")
    frozen: bool = Field(default=True, description="whether the backbone keeps its weights; false fine-tunes them")
    features: int | None = Field(
        default=None, ge=1, description="zero-shot: what the image network puts out for the head, 128 where left out"
    )

    @field_validator("written", mode="before")
    @classmethod
    def _space(cls, entry: Any) -> Any:
        """A space itself is as good as its JSON."""
        return entry.to_json() if isinstance(entry, Space) else entry


class WarmupSection(Section):
    """``search.warmup``: untrained candidates ranked by a proxy; the best are trained before the searcher begins."""

    proxy: str = Field(default="synflow", description="what ranks them")
    candidates: int = Field(
        default=200, ge=1, le=MAX_SCORED, description="architectures inside the budget that are scored"
    )
    train: int = Field(default=8, ge=1, description="how many of the best are trained")


class SearchSection(Section):
    """``[search]``: who proposes, who stops early, how many trials."""

    searcher: str = Field(default="gp", description="gp, tpe, evolution, nsga2, random, grid")
    objectives: list[str] | None = Field(
        default=None, description="nsga2: val_accuracy, macs, params, latency_ms; the first two where left out"
    )
    start_from: list[str | dict[str, Any]] = Field(
        default=[], description='tried first: networks by name, or files, as in ["resnet20-cifar", "net.json"]'
    )
    scheduler: Literal["none", "asha", "hyperband", "median"] = Field(
        default="none", description="who stops weak trials early: none, asha, hyperband, median"
    )
    trials: int = Field(default=24, ge=1, le=MAX_TRIALS, description="networks to train")
    seed: int = Field(default=0, ge=0, le=MAX_SEED, description="the same seed proposes the same networks")
    grace_epochs: int = Field(default=1, ge=1, description="schedulers: epochs before a trial may be stopped")
    reduction_factor: int = Field(default=3, ge=2, description="asha, hyperband: one in so many goes on")
    brackets: int | None = Field(default=None, ge=1, description="hyperband: as many as fit where left out")
    folds: int | None = Field(default=None, ge=2, description="cross-validation: a trial is a network in each fold")
    cache: bool = Field(default=True, description="take over what an earlier run has trained under the same conditions")
    warm_start: list[str] = Field(default=[], description="earlier runs that the searcher learns from, by name")
    trial_timeout_s: float | None = Field(default=None, gt=0, description="a worker longer at one trial ends itself")
    proxies: list[str] = Field(default=[], description="scored before training: grad_norm, synflow, naswot, jacob_cov")
    warmup: WarmupSection | None = Field(
        default=None, description='as in { proxy = "synflow", candidates = 200, train = 8 }: train the best by it first'
    )

    @field_validator("start_from", mode="before")
    @classmethod
    def _architectures(cls, entries: Any) -> Any:
        """Architectures themselves, as Python hands them over, are as good as their JSON."""
        if not isinstance(entries, list | tuple):
            return entries
        return [entry.to_json() if isinstance(entry, Architecture) else entry for entry in entries]


class ZeroShotSection(Section):
    """``[zero_shot]``: what the final table compares with, and what is explained."""

    baselines: list[str] | None = Field(default=None, description="beside the model; all ten where left out")
    programme: bool = Field(default=False, description="gpr+da by its quadratic programme instead of late fusion")
    explained: int = Field(default=6, ge=0, description="unseen classes explained in the report")


class LatencySection(Section):
    """``[latency]``: how long a forward pass takes, measured on the worker that trained the network."""

    batch_size: int = Field(default=1, ge=1, description="pictures of the timed batch")
    warmup: int = Field(default=3, ge=1, description="passes before the timed ones")
    n: int = Field(default=50, ge=2, description="timed passes; the median counts")
    calibration: int = Field(
        default=16, ge=2, le=MAX_TIMED, description="untrained networks timed first, where budget.latency_ms is set"
    )


class ResourcesSection(Section):
    """``[resources]``: what one trial takes."""

    cpus_per_trial: float = Field(default=1, gt=0, description="cores of one trial")
    gpus_per_trial: float | Literal["auto"] = Field(
        default=0.0,
        union_mode="left_to_right",
        description='a fraction shares a GPU, "auto" by predicted memory',
    )
    max_concurrent: int | None = Field(
        default=None, ge=1, description="trials at a time, as many as fit where left out; of more than fit, one waits"
    )
    checkpoints: str | None = Field(
        default=None, description="where checkpoints go: a folder all machines see, or a URL such as s3://bucket/runs"
    )
    node_timeout_s: float = Field(
        default=600, gt=0, description="how long a cluster without a node for a trial is waited for"
    )
    precision: Literal["fp32", "bf16"] = Field(default="fp32", description="bf16 halves memory on a GPU")

    @field_validator("gpus_per_trial")
    @classmethod
    def _whole_above_one(cls, value: float | Literal["auto"]) -> float | Literal["auto"]:
        if value != "auto" and (value < 0 or (value > 1 and value != int(value))):
            raise ValueError('must be a fraction of one GPU or a whole number of GPUs, or "auto"')
        return value

    @property
    def gpus(self) -> float:
        """GPUs of whatever is no trial with a network of known size: a whole one where trials take their share."""
        return 1.0 if self.gpus_per_trial == "auto" else self.gpus_per_trial


class PluginRecord(Section):
    """What a run records of a plug-in: where its file was, its ``__version__``, and the SHA-256 of its sources."""

    file: str
    version: str | None
    sha256: str


class PluginsSection(Section):
    """``[plugins]``: modules with own blocks, data sets and searchers."""

    modules: list[str] = Field(default=[], description="modules to import here and on every worker")
    recorded: dict[str, PluginRecord] = Field(default={}, description="written by a run; not for search files")


class SearchFile(Section):
    """The whole search file."""

    name: str | None = Field(default=None, description="name of the run")
    data: DataSection = DataSection()
    budget: dict[str, Any] = Field(default={}, description="limits; nothing outside is ever proposed")
    space: SpaceSection = SpaceSection()
    recipe: dict[str, Any] = Field(default={}, description="how networks are trained; a list or a range is searched")
    search: SearchSection = SearchSection()
    zero_shot: ZeroShotSection = ZeroShotSection()
    latency: LatencySection = LatencySection()
    resources: ResourcesSection = ResourcesSection()
    plugins: PluginsSection = PluginsSection()
