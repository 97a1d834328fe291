"""The settings that all trials of a run share."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from ...models.diagnostics.zero_cost_proxies import Probe
from ...models.ranks.ranks import Ranks
from ...spaces.metrics.selection import BY_ACCURACY, Selection
from ...spaces.parameters.task_kinds import CLASSIFICATION
from ...spaces.recipes.fidelity import Rung
from ..config.train_section import BUILT_IN_TRAINING, TrainSection
from ..plugins.references import custom_parts
from ..plugins.shipping import Shipment
from ..tasks.base import TrialContext
from ..tasks.registry import TASKS
from .checkpoint_files import Checkpoints
from .latency import Timing


@dataclass(frozen=True)
class Conditions:
    """The settings that all trials of a run share.

    Args:
        cpus: cores of one trial.
        gpus: GPUs of one trial, or a fraction of one.
        precision: fp32 or bf16.
        checkpoints: where the checkpoints of the run go.
        timing: settings of the latency measurement.
        probe: the batch on which proxies are scored before training.
        proxies: names of the zero-cost proxies to score.
        folds: networks per trial in a cross-validation; None without.
        fold_seed: seed that draws the folds.
        timeout_s: a worker ends itself after this many seconds of one trial; None for no limit.
        faults: environment variables of fault injection, for tests of recovery.
        shared: a GPU is shared by predicted memory. A trial may then use its share and no more, so that one whose
            prediction was too low fails alone instead of taking the memory of other trials.
        task: name of the task.
        plugins: the custom code that a worker needs.
        selection: the metric that selects, and the metrics to record.
        weights: ``space.weights`` of the search file.
        train: references to the custom parts of the training.
        keep_predictions: report the predictions of the validation images.
        stops_early: a scheduler may stop a trial after any epoch.
        rungs: the lower fidelities of each trial.
        ranks: processes that train the network of a trial together.
        sync_batch_norm: batch norm uses the statistics of the batches of all ranks.
    """

    cpus: float
    gpus: float
    precision: str
    checkpoints: Checkpoints
    timing: Timing
    probe: Probe | None = None
    proxies: tuple[str, ...] = ()
    folds: int | None = None
    fold_seed: int = 0
    timeout_s: float | None = None
    faults: Mapping[str, str] = field(default_factory=dict)
    shared: bool = False
    task: str = CLASSIFICATION
    plugins: Shipment = field(default_factory=Shipment)
    selection: Selection = BY_ACCURACY
    weights: str | None = None
    train: TrainSection = BUILT_IN_TRAINING
    keep_predictions: bool = False
    stops_early: bool = False
    rungs: tuple[Rung, ...] = ()
    ranks: int = 1
    sync_batch_norm: bool = False

    @property
    def cpus_per_rank(self) -> float:
        """Cores of one of the processes that train a network."""
        return self.cpus / self.ranks

    def context(self, data: Any, device: torch.device, ranks: Ranks) -> TrialContext:
        """Return a worker's context for ``data``: that of the first of ``ranks``, or of another one."""
        context = TASKS[self.task].trial_context(
            data,
            device,
            precision=self.precision,
            folds=self.folds,
            fold_seed=self.fold_seed,
            selection=self.selection,
            weights=self.weights,
            custom=custom_parts(self.train),
            keep_predictions=self.keep_predictions and ranks.rank == 0,
            ranks=ranks,
        )
        context.rungs = self.rungs
        return context
