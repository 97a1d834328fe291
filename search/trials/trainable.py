"""One trial: a network built, trained an epoch per step, and its best epoch tested, inside a Ray worker."""

import errno
import faulthandler
import json
import os
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from ray import tune

from ...models.data.errors import DataError
from ...models.diagnostics.zero_cost_proxies import Probe, proxy_scores
from ...models.training.epoch import Diverged
from ...results.analysis.health import rose
from ...results.database.records import FailKind
from ...spaces.architectures.architecture import Architecture
from ...spaces.parameters.task_kinds import CLASSIFICATION
from ...spaces.recipes.zero_shot_recipe import recorded_recipe
from ..cluster.fault_injection import enabled, fault
from ..cluster.gpu_sharing import cap
from ..cluster.threads import set_up_worker
from ..plugins.shipping import Shipment
from ..tasks.base import Diagnosis, TrialContext, TrialFit
from ..tasks.registry import TASKS
from .checkpoint_files import CheckpointDir, Checkpoints, identity_of, load, save
from .latency import Timing
from .report import EpochMetrics, Failure, TrialReport, TrialStart

FULL = (errno.ENOSPC, errno.EDQUOT)
# too little memory as it is said outside of torch's own allocators: by a full GPU that others share, and by the CPU's
_NO_MEMORY = (
    *("CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED"),
    *("can't allocate memory", "not enough memory"),
)


@dataclass(frozen=True)
class Conditions:
    """What all trials of a run share: cores, GPUs and precision of one trial, and where its checkpoints go.

    ``timing`` says how its network is timed; ``proxies`` are scored on ``probe`` before it is trained. Where there are
    ``folds``, drawn by ``fold_seed``, a trial is a network in each. Where a GPU is ``shared`` by predicted memory, a
    trial gets what was predicted for it and no more: one that was predicted too small must not end its neighbours.
    A worker that is ``timeout_s`` at one trial ends itself. ``faults`` are for tests of what survives.
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


class NetworkTrial(tune.Trainable):
    """Tune's view of a trial. The data are sent once per worker; workers go from trial to trial.

    A trial that fails reports it instead of raising: a raise would end the worker, and the next trial would wait for a
    new one.
    """

    fit: TrialFit | None
    architecture: Architecture
    seed: int
    data: Any
    context: TrialContext | None
    failed: TrialReport  # of a trial that could not begin
    checkpoint_dir: CheckpointDir
    identity: str
    reported: int  # epochs that this process has reported
    timed: bool  # whether latency has been reported
    probe: Probe | None
    pending: TrialReport  # for the next report: where the trial began, and what was in the way

    def setup(self, config: dict[str, Any], data: Any, conditions: Conditions) -> None:  # type: ignore[override]
        os.environ.update(conditions.faults)
        self.conditions, self.device = conditions, set_up_worker(conditions.cpus, conditions.gpus)
        if conditions.shared:
            self._keep_to_share()
        self.data, self.context, self.probe = data, None, None
        self._begin(config)

    def _keep_to_share(self) -> None:
        """Let torch take this trial's share of the GPU; workers go only to trials of the same share."""
        assert self.trial_resources is not None
        share = self.trial_resources.required_resources["GPU"]
        total = torch.cuda.get_device_properties(self.device).total_memory
        torch.cuda.set_per_process_memory_fraction(cap(share, total))

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._begin(new_config)
        return True

    def step(self) -> dict[str, Any]:
        if self.fit is None:
            return self.failed.to_tune()
        if self.reported == 0:
            self._watch()  # again: the driver counts the time from here
        try:
            if not self.fit.done:
                self.fit.step()
                if not self.fit.done:
                    self._save()
            return self._report().to_tune()
        except Exception as error:
            diagnosis = self._diagnose() if isinstance(error, Diverged) else Diagnosed()
            return replace(self._failed(error), **diagnosis._asdict()).to_tune()

    def _failed(self, error: BaseException) -> TrialReport:
        """The last report of a trial that raised ``error``; with where it ran, if that was never reported."""
        pending = self.pending
        self._release()
        return replace(pending, done=True, failure=failure_of(error))

    def _report(self) -> TrialReport:
        """Every epoch not yet reported, and what is measured at the first and the last one."""
        assert self.fit is not None
        history = self.fit.history
        epochs = tuple(EpochMetrics.of(asdict(result)) for result in history[self.reported :])
        report = replace(self.pending, epochs=epochs, done=self.fit.done)
        if self.reported == 0:
            report = replace(report, start_metrics=self._trial_context().start_metrics(self.fit))
        self.reported, self.pending = len(history), TrialReport()
        if self.fit.done:
            report = replace(report, final_metrics=self._trial_context().final_metrics(self.fit))
            if rose([result.train_loss for result in history]):
                report = replace(report, **self._diagnose()._asdict())
        if not self.timed and (self.fit.done or self.conditions.timing.early):
            report = replace(report, **self._time()._asdict())
        return report

    def _diagnose(self) -> "Diagnosed":
        """Look for why the loss diverged or rose; what breaks here does not change how the trial ends."""
        assert self.fit is not None
        try:
            return Diagnosed(self._trial_context().diagnose(self.fit, self.architecture, self.seed))
        except Exception as error:
            return Diagnosed(diagnosis_error=f"{type(error).__name__}: {error}")

    def _time(self) -> "Timed":
        """Measure the network's latency. Too little memory for the timed batch does not fail a trained trial."""
        assert self.fit is not None
        self.timed = True
        try:
            context = self._trial_context()
            module = context.timed_module(self.fit)
            return Timed(self.conditions.timing.measured(module, context.input_shape, self.device))
        except torch.OutOfMemoryError as error:
            return Timed(latency_error=str(error))

    def _save(self) -> None:
        """Write a checkpoint. A full disk ends the trial for now; any other trouble is only reported."""
        assert self.fit is not None
        try:
            save(self.checkpoint_dir, self.identity, self.fit.epoch, self.fit.state_dict())
        except OSError as error:
            if error.errno in FULL:
                raise
            problem = f"epoch {self.fit.epoch} has no checkpoint: {error}"
            self.pending = replace(self.pending, problems=(*self.pending.problems, problem))

    def _watch(self) -> None:
        """End this process when the trial takes too long: by a thread in C, which nothing that hangs can hold up."""
        if self.conditions.timeout_s is not None:
            faulthandler.dump_traceback_later(self.conditions.timeout_s, exit=True, file=2)

    def cleanup(self) -> None:
        self._release()

    def _begin(self, config: dict[str, Any]) -> None:
        self._release()
        self._watch()
        try:
            self.conditions.plugins.install()
            context = self._trial_context()
            trial = json.loads(config["trial"])
            architecture = Architecture.from_json(trial["architecture"])
            recipe = recorded_recipe(trial["recipe"])
            self.architecture, self.seed = architecture, trial["seed"]
            self.checkpoint_dir = self.conditions.checkpoints.of_trial(trial["trial"])
            self.identity = identity_of(trial)
            self.fit = self._resumed(partial(context.fit, architecture, recipe, self.seed))
            if self.probe is not None:
                scores = proxy_scores(self.conditions.proxies, architecture, self.probe)
                self.pending = replace(self.pending, proxies=scores)
            if enabled():
                self.fit.module.register_forward_pre_hook(_mid_epoch)
        except Exception as error:
            self.failed = self._failed(error)

    def _trial_context(self) -> TrialContext:
        """The context, with the data on the device; made by the first trial, which fails by what breaks there."""
        if self.context is None:
            shared = self.conditions
            self.context = TASKS[shared.task].trial_context(
                self.data, self.device, precision=shared.precision, folds=shared.folds, fold_seed=shared.fold_seed
            )
            self.probe = shared.probe and shared.probe.to(self.device)
        return self.context

    def _resumed(self, make: Callable[[], TrialFit]) -> TrialFit:
        """A fit resumed from the newest whole checkpoint; one that does not fit is reported, and not used."""
        fit, found = make(), load(self.checkpoint_dir, self.identity)
        problems = [*found.problems]
        if found.state is not None:
            try:
                fit.load_state_dict(found.state)
            except torch.OutOfMemoryError:
                raise
            except (ValueError, TypeError, KeyError, AttributeError, RuntimeError) as error:
                fit = make()  # half of the state may have been loaded
                where, why = self.checkpoint_dir.url, f"{type(error).__name__}: {error}"
                problems.append(f"a checkpoint in {where} does not fit: {why}")
        start = TrialStart.here(fit.epoch, self._device_name())
        self.pending = TrialReport(start=start, problems=tuple(problems))
        return fit

    def _release(self) -> None:
        """Let go of the network before the next one needs its memory."""
        faulthandler.cancel_dump_traceback_later()
        self.fit = None
        self.failed, self.pending, self.reported, self.timed = TrialReport(), TrialReport(), 0, False
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _device_name(self) -> str:
        return torch.cuda.get_device_name() if self.device.type == "cuda" else "cpu"


class Diagnosed(NamedTuple):
    """The fields of a report that a diagnosis fills."""

    diagnosis: Diagnosis | None = None
    diagnosis_error: str | None = None


class Timed(NamedTuple):
    """The fields of a report that a measurement of latency fills."""

    latency: Mapping[str, Any] | None = None
    latency_error: str | None = None


def failure_of(error: BaseException) -> Failure:
    """Why a trial that raised ``error`` failed; a bug with the place where it was raised."""
    kind = fail_kind(error)
    reason = f"{type(error).__name__}: {error}".strip()
    if kind is FailKind.BUG:
        reason += f" ({_place(error)})"
    return Failure(kind, reason, "".join(traceback.format_exception(error)))


def fail_kind(error: BaseException) -> FailKind:
    """What sort of failure ``error`` is; too little memory is told apart from a bug."""
    if isinstance(error, Diverged):
        return FailKind.DIVERGED
    if isinstance(error, torch.OutOfMemoryError | MemoryError) or any(said in str(error) for said in _NO_MEMORY):
        return FailKind.OOM
    if isinstance(error, OSError) and error.errno in FULL:
        return FailKind.DISK_FULL
    if isinstance(error, DataError | OSError):
        return FailKind.DATA
    if isinstance(error, ValueError):
        return FailKind.USER_ERROR
    return FailKind.BUG


def _place(error: BaseException) -> str:
    """File, line and function where ``error`` was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno} in {frames[-1].name}" if frames else "no trace"


def _mid_epoch(module: torch.nn.Module, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...] | None:
    """Break between two batches, where that is planned."""
    return tuple(arg * torch.nan for arg in args) if fault("mid_epoch") == "nan" else None
