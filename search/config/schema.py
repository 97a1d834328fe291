"""The tables of a search file as pydantic models: each key with its type, default and description.

``archsieve init`` and the reference page print the descriptions, so each is one sentence.
"""

from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from ...models.image_files.decoding_rules import RULES, WHITE, check_background, check_crop_pct, check_value_range
from ...spaces.search_space.space import Space
from .device_section import DeviceSection
from .latency_section import LatencySection
from .search_section import MAX_SEED, SearchSection
from .section import Section
from .train_section import TrainSection

# of [data], for image files
DECODING_KEYS = (
    *("resize", "interpolation", "crop_pct", "background", "value_range", "on_bad", "decoding_rules"),
    *("label_separator",),
)
IntOrList = int | list[int]
NumberOrList = float | list[float]


class DataSection(Section):
    """``[data]``: the images and their splits."""

    name: str = Field(default="digits", description="Name of a data set, or images for your own images.")
    path: str | None = Field(
        default=None,
        description="Folder of the files, relative to this file; for images also a manifest, tar shards or a URL.",
    )
    image_size: int | None = Field(
        default=None, ge=1, description="Side of the square images in pixels; your own images need it."
    )
    columns: dict[str, str | list[str]] | None = Field(
        default=None,
        description='Columns of a manifest, as in { path = "file", label = "species" }; label = ["cat", "dog"] are '
        "columns of 0 and 1.",
    )
    label_separator: str | None = Field(
        default=None,
        min_length=1,
        description='Text between the labels of an image with several labels, such as ";" in "cat; dog".',
    )
    nested: bool = Field(default=False, description="Whether folders inside class folders are classes, too.")
    val_fraction: float = Field(
        default=0.2, gt=0, lt=1, description="Fraction of the training images used for validation."
    )
    test_fraction: float = Field(
        default=0.2, ge=0, lt=1, description="Fraction of the images used for the test, if the data have no test split."
    )
    seed: int = Field(default=0, ge=0, le=MAX_SEED, description="Seed of the random splits.")
    download: bool = Field(default=False, description="Whether torchvision may download the data set into path.")
    limit: int | None = Field(default=None, ge=1, description="Largest number of images to use, for a quick trial.")
    storage: Literal["auto", "memory", "cache", "stream"] = Field(
        default="auto",
        description="Where decoded images are: auto, memory, cache (one file for all workers) or stream (per batch).",
    )
    cache: str | None = Field(
        default=None, description="Folder of cache files; the default is ARCHSIEVE_CACHE or ~/.cache/archsieve."
    )
    resize: Literal["crop", "pad", "stretch"] = Field(
        default="crop",
        description="How an image file becomes square: crop its middle, pad it with background, or stretch it.",
    )
    interpolation: Literal["auto", "bilinear", "bicubic"] = Field(
        default="auto",
        description="How pixels are computed when an image file is resized; auto is that of the published network, or "
        "bilinear.",
    )
    crop_pct: Literal["auto"] | float = Field(
        default="auto",
        description="Share of the shorter side that resize = crop keeps; auto is that of the published network, or 1.",
    )
    background: list[int] = Field(
        default=list(WHITE), description="RGB colour under transparent pixels and around padded images."
    )
    value_range: list[float] | None = Field(
        default=None,
        description="Values that become black and white, for float images and integers of more than 8 bits.",
    )
    on_bad: Literal["error", "skip"] = Field(
        default="error", description="Whether an image that cannot be decoded is an error, or is left out and listed."
    )
    decoding_rules: Literal[1, 2] = Field(
        default=RULES, description="Version of the rules of decoding; 1 gives the pixels of version 0.1.0."
    )
    texts: str | None = Field(
        default=None,
        description="Zero-shot: folder of CLASS.txt or CLASS/*.txt, a .json of texts, or an .npz of vectors.",
    )
    unseen_fraction: float = Field(
        default=0.2, gt=0, lt=1, description="Zero-shot: fraction of the classes that are not used in training."
    )
    seen: list[str] | None = Field(
        default=None, description="Zero-shot: names of the training classes, instead of unseen_fraction."
    )
    unseen: list[str] | None = Field(
        default=None, description="Zero-shot: names of the classes not used in training, instead of unseen_fraction."
    )

    class_split: str | None = Field(
        default=None,
        description='Zero-shot: JSON file of a published split of the classes, {"train": [], "val": [], "test": []}.',
    )

    @field_validator("background")
    @classmethod
    def _background(cls, value: list[int]) -> list[int]:
        return list(check_background(value))

    @field_validator("crop_pct")
    @classmethod
    def _crop_pct(cls, value: str | float) -> str | float:
        return value if value == "auto" else check_crop_pct(value)

    @field_validator("value_range")
    @classmethod
    def _value_range(cls, value: list[float] | None) -> list[float] | None:
        limits = check_value_range(value)
        return None if limits is None else list(limits)


class StageSection(Section):
    """``[[space.stages]]``: blocks of the same width. The search chooses from a list."""

    block: str | list[str] = Field(
        description="Type of the blocks: conv-pool, residual, bottleneck, inception, inverted-residual, "
        "fused-inverted-residual, depthwise-separable, grouped-bottleneck, convnext, shuffle-unit, fire, dense-block; "
        "with identity in the list, every block after the first may be left out."
    )
    width: IntOrList = Field(
        description="Number of output channels; for dense-block, channels that each layer adds (its growth)."
    )
    depth: IntOrList = Field(
        default=1,
        description="Number of blocks; for conv-pool, convolutions before the pooling layer; for dense-block, layers. "
        "0 in a list means that the stage may be left out.",
    )
    kernel: IntOrList | None = Field(
        default=None,
        description="Kernel size of conv-pool and of the blocks with depthwise or grouped convolutions, an odd number; "
        "the default is 3, for convnext 7.",
    )
    expansion: NumberOrList | None = Field(
        default=None,
        description="Inner channels of inverted-residual (default 6), fused-inverted-residual and convnext (4), "
        "relative to the input.",
    )
    squeeze: NumberOrList | None = Field(
        default=None,
        description="Ratio of squeeze-and-excitation, from 0 (none, the default) to 1: inverted-residual, "
        "fused-inverted-residual, depthwise-separable and grouped-bottleneck.",
    )
    act: str | list[str] | None = Field(
        default=None, description="Nonlinearity of the blocks that have options, such as relu6, silu or hardswish."
    )
    ratio: NumberOrList | None = Field(
        default=None, description="Inner channels of grouped-bottleneck relative to the width; the default is 1."
    )
    groups: IntOrList | None = Field(default=None, description="Number of groups of grouped-bottleneck.")
    group_width: IntOrList | None = Field(
        default=None, description="Channels of a group of grouped-bottleneck, instead of groups."
    )
    each: bool = Field(
        default=False,
        description="Whether every block makes its own choice of type, kernel and options; the width is the same.",
    )
    halve: bool = Field(default=True, description="Whether the stage halves the height and width of the image.")


class SpaceSection(Section):
    """``[space]``: a named space, a list of stages, or networks of timm and torchvision."""

    name: str | None = Field(
        default=None, description="A named space such as mixed or resnet-space, or one network such as resnet20-cifar."
    )
    stages: list[StageSection] | None = Field(
        default=None, min_length=1, description="Stages of blocks, instead of a name."
    )
    contrast: bool | list[bool] = Field(
        default=False, description="With stages: whether local contrast normalisation is the first layer."
    )
    stem: IntOrList | None = Field(default=None, description="With stages: channels of a 3x3 convolution before them.")
    networks: str | list[str] | None = Field(
        default=None,
        description='Networks of timm and torchvision: names, patterns such as "timm:resnet*", or families.',
    )
    image_size: IntOrList | None = Field(
        default=None,
        description="Side of the images in pixels, to which the network resizes them. The default is that of the data; "
        "with networks, the published size of each.",
    )
    backbone: str | list[str] | None = Field(
        default=None,
        description='A network "timm:NAME" or "torchvision:NAME" at the size of the data, instead of a space.',
    )
    written: dict[str, Any] | None = Field(
        default=None, description="From Python: a Space, or the result of its to_json(), instead of a name."
    )
    weights: str | None = Field(
        default=None,
        description='Weights of networks: "pretrained" for the published ones, a folder of NAME.safetensors or '
        "NAME.pth, or a file; the default is random weights.",
    )
    frozen: bool = Field(
        default=True, description="Whether the weights of the backbone stay fixed; false fine-tunes them."
    )
    features: int | None = Field(
        default=None, ge=1, description="Zero-shot: number of outputs of the image network; the default is 128."
    )

    # mode "before": the strict type of the field would refuse the object itself
    @field_validator("written", mode="before")
    @classmethod
    def _space(cls, entry: Any) -> Any:
        """Accept a Space object as well as its JSON."""
        return entry.to_json() if isinstance(entry, Space) else entry


class ZeroShotSection(Section):
    """``[zero_shot]``: the baselines of the final test, the combination and the explained classes."""

    baselines: list[str] | None = Field(
        default=None, description="Baselines to test with the model; the default is all ten."
    )
    programme: bool = Field(
        default=False, description="Whether gpr+da solves its quadratic programme instead of adding the two scores."
    )
    combine: int | None = Field(
        default=None,
        ge=2,
        description="Number of best trials whose calibrated scores are averaged and tested as one more row.",
    )
    explained: int = Field(default=6, ge=0, description="Number of unseen classes to explain in the report.")


class ResourcesSection(Section):
    """``[resources]``: CPUs, GPUs and storage of the trials."""

    cpus_per_trial: float = Field(default=1, gt=0, description="CPU cores of one trial.")
    gpus_per_trial: float | Literal["auto"] = Field(
        default=0.0,
        union_mode="left_to_right",
        description='GPUs of one trial; a fraction shares a GPU, "auto" chooses it from the predicted memory.',
    )
    max_concurrent: int | None = Field(
        default=None,
        ge=1,
        description="Largest number of trials at a time, one of which may wait; the default is as many as fit.",
    )
    checkpoints: str | None = Field(
        default=None,
        description="Checkpoint directory: a folder that all machines share, or a URL such as s3://bucket/runs.",
    )
    node_timeout_s: float = Field(
        default=600, gt=0, description="Seconds to wait when no node of the cluster can run a trial."
    )
    ranks_per_trial: int | None = Field(
        default=None,
        ge=1,
        description="Processes that train the network of one trial together; the default is one, or one for each of "
        "several GPUs.",
    )
    sync_batch_norm: bool = Field(
        default=False,
        description="Whether batch norm uses the statistics of the whole batch where several processes train a trial.",
    )
    precision: Literal["fp32", "bf16"] = Field(
        default="fp32", description="Precision of training: fp32, or bf16 for half of the memory on a GPU."
    )

    @field_validator("gpus_per_trial")
    @classmethod
    def _whole_above_one(cls, value: float | Literal["auto"]) -> float | Literal["auto"]:
        # Ray assigns a fraction of one GPU or several whole GPUs, but not 1.5
        if value != "auto" and (value < 0 or (value > 1 and value != int(value))):
            raise ValueError('must be a fraction of one GPU or a whole number of GPUs, or "auto"')
        return value

    @model_validator(mode="after")
    def _ranks_use_what_a_trial_has(self) -> Self:
        if self.gpus > 1 and self.ranks != self.gpus:
            raise ValueError(
                f"ranks_per_trial must be the number of GPUs of a trial, {self.gpus:g}, but got {self.ranks}; leave it "
                "out"
            )
        if 0 < self.gpus <= 1 < self.ranks:
            raise ValueError(
                f"each rank needs a GPU of its own, but ranks_per_trial is {self.ranks} and gpus_per_trial is "
                f"{self.gpus_per_trial}; use gpus_per_trial = {self.ranks}, or leave ranks_per_trial out"
            )
        if not self.gpus and self.ranks > max(1, self.cpus_per_trial):
            raise ValueError(
                f"each rank needs a core, but ranks_per_trial is {self.ranks} and cpus_per_trial is "
                f"{self.cpus_per_trial:g}; use cpus_per_trial = {self.ranks}"
            )
        if self.sync_batch_norm and self.ranks == 1:
            raise ValueError(
                "sync_batch_norm needs several ranks, but a trial has one; leave it out, or use gpus_per_trial = 2"
            )
        return self

    @property
    def ranks(self) -> int:
        """The processes that train the network of one trial together."""
        return self.ranks_per_trial or max(1, int(self.gpus))

    @property
    def gpus(self) -> float:
        """Return the GPUs of a job other than a trial: a whole GPU where the share of a trial is "auto"."""
        return 1.0 if self.gpus_per_trial == "auto" else self.gpus_per_trial


class PluginRecord(Section):
    """What a run records of a plug-in: where its file was, its version, and the SHA-256 of its sources.

    The version is that of the installed ``distribution``, or ``__version__`` of the module.
    """

    file: str | None
    version: str | None
    sha256: str | None
    distribution: str | None = None


class RegisteredRecord(PluginRecord):
    """The same of a module that no search file names: of an entry point, a script, or a notebook, without a file.

    ``parts`` are the registered parts that the run uses, by kind, as in ``{"blocks": ["two-convs"]}``.
    """

    parts: dict[str, list[str]]


class PluginsSection(Section):
    """``[plugins]``: modules with custom blocks, data sets, metrics and searchers."""

    modules: list[str] = Field(default=[], description="modules to import here and on every worker")
    # written by a run; not described, because no search file needs them
    recorded: dict[str, PluginRecord] = {}
    registered: dict[str, RegisteredRecord] = {}


class SearchFile(Section):
    """A complete search file."""

    name: str | None = Field(default=None, description="Name of the run.")
    data: DataSection = DataSection()
    budget: dict[str, Any] = Field(
        default={}, description="Limits of the architectures; no architecture outside them is proposed."
    )
    space: SpaceSection = SpaceSection()
    recipe: dict[str, Any] = Field(
        default={}, description="Training settings; the search chooses from a list or a range."
    )
    search: SearchSection = SearchSection()
    train: TrainSection = TrainSection()
    zero_shot: ZeroShotSection = ZeroShotSection()
    latency: LatencySection = LatencySection()
    device: DeviceSection = DeviceSection()
    resources: ResourcesSection = ResourcesSection()
    plugins: PluginsSection = PluginsSection()
