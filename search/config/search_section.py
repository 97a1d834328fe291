"""``[search]`` of a search file: the searcher, the metric that selects, the scheduler and the number of trials."""

from typing import Any, Literal

from pydantic import Field, field_validator

from ...spaces.architectures.architecture import Architecture
from ...spaces.recipes.fidelity import Rung
from .duration import parse_duration
from .section import Section

MAX_TRIALS = 1_000_000
MAX_SCORED = 100_000
MAX_SEED = 2**32 - 1  # the largest random_state that scikit-learn and NumPy accept


class WarmupSection(Section):
    """``search.warmup``: rank untrained candidates by a proxy and train the best before the searcher starts."""

    proxy: str = Field(default="synflow", description="Zero-cost proxy that ranks the candidates.")
    candidates: int = Field(
        default=200, ge=1, le=MAX_SCORED, description="Number of architectures within the budget to score."
    )
    train: int = Field(default=8, ge=1, description="Number of the best candidates to train.")


class RungSection(Section):
    """``[[search.fidelity]]``: until which epoch a trial trains on a part of the data, or on smaller images."""

    epochs: int = Field(ge=1, description="Last epoch of this fidelity, counted from the start of the trial.")
    data_share: float = Field(default=1.0, gt=0, le=1, description="Share of the training images of each class.")
    image_size: int | None = Field(
        default=None, ge=1, description="Side of the images in pixels; the default is that of the data."
    )


class SearchSection(Section):
    """``[search]``: the searcher, the scheduler and the number of trials."""

    searcher: str = Field(
        default="gp",
        description="Search algorithm: gp, tpe, evolution, nsga2, random, grid, or a sampler such as "
        "optuna:CmaEsSampler.",
    )
    sampler: dict[str, Any] | None = Field(
        default=None, description="Arguments of a sampler of Optuna, such as { sigma0 = 0.3 }."
    )
    objectives: list[str] | None = Field(
        default=None,
        description="Several objectives for gp or nsga2, such as val_accuracy, macs, params, latency_ms; nsga2 has the "
        "first two by default.",
    )
    metric: str = Field(
        default="accuracy",
        description="Metric on validation images that selects the best trial, such as balanced_accuracy or "
        "int8_val_accuracy.",
    )
    direction: Literal["maximize", "minimize"] | None = Field(
        default=None,
        description="Whether the best value of a metric that only train.function computes is the largest or smallest.",
    )
    record_metrics: list[str] = Field(default=[], description="Other metrics to record at each epoch and for the test.")
    record_predictions: bool = Field(
        default=True, description="Whether to store the predictions of the validation images, to compare trials."
    )
    # written by a run: the metrics of which a lower value is better; no search file needs it
    minimized: list[str] | None = None
    start_from: list[str | dict[str, Any]] = Field(
        default=[], description='Networks to train first: names or files, such as ["resnet20-cifar", "net.json"].'
    )
    scheduler: Literal["none", "asha", "hyperband", "median"] = Field(
        default="none", description="Rule that stops weak trials early: none, asha, hyperband or median."
    )
    trials: int = Field(default=24, ge=1, le=MAX_TRIALS, description="Number of networks to train.")
    seed: int = Field(
        default=0, ge=0, le=MAX_SEED, description="Seed of the searcher; the same seed proposes the same networks."
    )
    grace_epochs: int = Field(
        default=1, ge=1, description="Epochs that every trial trains before a scheduler may stop it."
    )
    reduction_factor: int = Field(
        default=3, ge=2, description="For asha and hyperband: one trial in this many continues after each rung."
    )
    brackets: int | None = Field(
        default=None, ge=1, description="For hyperband: number of brackets; the default is as many as fit."
    )
    fidelity: list[RungSection] | None = Field(
        default=None,
        description="Cheaper first epochs for a scheduler: [{ epochs = 3, data_share = 0.25, image_size = 16 }].",
    )
    folds: int | None = Field(
        default=None, ge=2, description="Number of cross-validation folds; a trial trains one network per fold."
    )
    cache: bool = Field(
        default=True, description="Whether to reuse the results of earlier runs with the same settings."
    )
    warm_start: list[str] | Literal["all"] = Field(
        default=[],
        union_mode="left_to_right",
        description='Names of earlier runs that the searcher learns from, or "all"; other data are allowed for gp.',
    )
    prior: Literal["standard", "none"] = Field(
        default="standard",
        description="What gp expects of networks before the first trial: standard (a fitted table) or none.",
    )
    repeat_networks: bool = Field(
        default=False, description="For gp: whether to try a network again with another recipe that looks better."
    )
    acquisition: Literal["improvement", "per_second"] | None = Field(
        default=None,
        description="What gp maximises: the expected improvement (improvement), or that divided by the predicted "
        "seconds of the trial (per_second); the default is improvement.",
    )
    trial_timeout_s: float | None = Field(
        default=None, gt=0, description="Time limit of one trial in seconds; the default is no limit."
    )
    time_limit: str | float | None = Field(
        default=None,
        description='Time of one session, such as "2h"; trials stop at the end of an epoch. The default is no limit.',
    )
    proxies: list[str] = Field(
        default=[], description="Scores computed before training: grad_norm, synflow, naswot, jacob_cov."
    )
    warmup: WarmupSection | None = Field(
        default=None,
        description='Train the best candidates of a proxy first: { proxy = "synflow", candidates = 200, train = 8 }.',
    )

    @property
    def rungs(self) -> tuple[Rung, ...]:
        """The fidelities below the whole one."""
        return tuple(Rung(**one.model_dump()) for one in self.fidelity or ())

    # mode "before": one error with the accepted forms, instead of one for each type
    @field_validator("time_limit", mode="before")
    @classmethod
    def _duration(cls, value: Any) -> Any:
        if value is not None:
            parse_duration(value)
        return value

    # mode "before": the strict type of the field would refuse the objects themselves
    @field_validator("start_from", mode="before")
    @classmethod
    def _architectures(cls, entries: Any) -> Any:
        """Accept Architecture objects, which Python code passes, as well as their JSON."""
        if not isinstance(entries, list | tuple):
            return entries
        return [entry.to_json() if isinstance(entry, Architecture) else entry for entry in entries]
