"""One trial inside a Ray worker: build a network, train one epoch per step, and test its best epoch."""

import faulthandler
import json
import os
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import partial
from typing import Any, NamedTuple

import torch
from ray import tune

from ...models.diagnostics.zero_cost_proxies import Probe, proxy_scores
from ...models.image_files.errors import DataError
from ...models.profiling.device_command import DeviceOfflineError, DeviceRefusedError
from ...models.ranks.errors import RankLostError
from ...models.training.epoch import Diverged
from ...results.analysis.health import has_risen
from ...results.database.errors import DISK_FULL_ERRNOS
from ...results.database.records import FailKind
from ...spaces.architectures.architecture import Architecture
from ...spaces.architectures.recorded import custom_kinds
from ...spaces.parameters.user_code import PluginError, at_line
from ...spaces.recipes.fidelity import is_whole
from ...spaces.recipes.zero_shot_recipe import recipe_from_json
from ..cluster.fault_injection import enabled, fault
from ..cluster.gpu_sharing import memory_fraction
from ..cluster.threads import set_up_worker
from ..tasks.base import Diagnosis, TrialContext, TrialFit
from .checkpoint_files import CheckpointDir, identity_of, load, save
from .conditions import Conditions
from .replicas import Replicas
from .report import EpochMetrics, Failure, TrialReport, TrialStart

# Messages of out-of-memory errors that are not torch.OutOfMemoryError: from the driver and libraries of a shared GPU
# that is full, and from torch's CPU allocator.
_OOM_MESSAGES = (
    *("CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED"),
    *("can't allocate memory", "not enough memory"),
)
COUNTS = ("params", "macs", "activations")  # costs that a worker counts again if a network has custom blocks


class NetworkTrial(tune.Trainable):
    """Tune's trainable. The data are sent once per worker, and a worker runs one trial after another.

    A failed trial reports its failure instead of raising. An exception would end the worker, and the next trial would
    have to wait for a new one.
    """

    fit: TrialFit | None
    architecture: Architecture
    seed: int
    data: Any
    context: TrialContext | None
    failed: TrialReport  # the report of a trial that failed to start
    checkpoint_dir: CheckpointDir
    identity: str
    reported: int  # epochs that this process has reported
    timed: bool  # whether latency has been reported
    probe: Probe | None
    replicas: Replicas  # the other processes that train the network
    pending: TrialReport  # fields for the next report: the start of the trial and problems with checkpoints

    def setup(self, config: dict[str, Any], data: Any, conditions: Conditions) -> None:  # type: ignore[override]
        os.environ.update(conditions.faults)
        self.conditions, self.device = conditions, set_up_worker(conditions.cpus_per_rank, conditions.gpus)
        if conditions.shared:
            self._limit_memory_to_share()
        self.data, self.context, self.probe, self.fit = data, None, None, None
        self.replicas = Replicas(conditions, data)
        self._start_trial(config)

    def _limit_memory_to_share(self) -> None:
        """Limit torch to this trial's share of the GPU. Tune reuses a worker only for trials with the same share."""
        assert self.trial_resources is not None
        share = self.trial_resources.required_resources["GPU"]
        total = torch.cuda.get_device_properties(self.device).total_memory
        torch.cuda.set_per_process_memory_fraction(memory_fraction(share, total))

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._start_trial(new_config)
        return True

    def step(self) -> dict[str, Any]:
        if self.fit is None:
            return self._to_tune(self.failed)
        if self.reported == 0:
            self._start_timeout()  # restart: the driver measures the time of the trial from here
        try:
            if not self.fit.done:
                self.replicas.step(self.fit)
                # No checkpoint after the last epoch: this step's report ends the trial.
                if not self.fit.done:
                    self._save()
            return self._to_tune(self._report())
        except RankLostError:
            raise  # as if this worker had died: the trial is proposed again and continues from its checkpoint
        except Exception as error:
            diagnosis = self._diagnose() if isinstance(error, Diverged) else DiagnosisFields()
            return self._to_tune(replace(self._failed(error), **diagnosis._asdict()))

    def _to_tune(self, report: TrialReport) -> dict[str, Any]:
        return report.to_tune(self.conditions.selection)

    def _failed(self, error: BaseException) -> TrialReport:
        """Return the last report of a trial that raised ``error``; includes its start if that was not reported yet."""
        pending = self.pending
        self._release()
        return replace(pending, done=True, failure=failure_of(error))

    def _report(self) -> TrialReport:
        """Return a report of all epochs not yet reported, with the measurements of the first and the last epoch."""
        assert self.fit is not None
        history = self.fit.history
        epochs = tuple(EpochMetrics.of(asdict(result)) for result in history[self.reported :])
        report = replace(self.pending, epochs=epochs, done=self.fit.done)
        if self.reported == 0:
            report = replace(report, start_metrics=self._trial_context().start_metrics(self.fit))
        self.reported, self.pending = len(history), TrialReport()
        if self.fit.done:
            report = replace(report, final_metrics=self._trial_context().final_metrics(self.fit))
            losses = [result.train_loss for result in history if is_whole(result.metrics)]
            if None not in losses and has_risen(losses):
                report = replace(report, **self._diagnose()._asdict())
        # a scheduler stops a trial in the driver: the worker cannot know which report is its last
        if self.conditions.keep_predictions and (self.fit.done or self.conditions.stops_early):
            report = replace(report, predictions=self._trial_context().predictions(self.fit))
        if not self.timed and (self.fit.done or self.conditions.timing.early):
            report = replace(report, **self._measure_latency()._asdict())
        return report

    def _diagnose(self) -> "DiagnosisFields":
        """Find out why the loss diverged or rose. An error in the diagnosis does not change how the trial ends."""
        assert self.fit is not None
        try:
            return DiagnosisFields(self._trial_context().diagnose(self.fit, self.architecture, self.seed))
        except Exception as error:
            return DiagnosisFields(diagnosis_error=f"{type(error).__name__}: {error}")

    def _measure_latency(self) -> "LatencyFields":
        """Measure the network's latency. Too little memory for the measurement does not fail a trained trial."""
        assert self.fit is not None
        self.timed = True
        try:
            context = self._trial_context()
            module = context.timed_module(self.fit)
            timing, shape = self.conditions.timing, context.input_shape
            return LatencyFields(timing.measure(module, self.architecture, self.device, input_shape=shape))
        except (torch.OutOfMemoryError, DeviceRefusedError) as error:
            return LatencyFields(latency_error=str(error))

    def _save(self) -> None:
        """Write a checkpoint. A full disk ends the trial for now; any other error is only reported."""
        assert self.fit is not None
        try:
            save(self.checkpoint_dir, self.identity, self.fit.epoch, self.fit.state_dict())
        except OSError as error:
            if error.errno in DISK_FULL_ERRNOS:
                raise
            problem = f"no checkpoint was written for epoch {self.fit.epoch}: {error}"
            self.pending = replace(self.pending, problems=(*self.pending.problems, problem))

    def _start_timeout(self) -> None:
        """Make this process exit when the trial takes longer than ``timeout_s``.

        The timer is a thread in C, so it also works when Python code hangs.
        """
        if self.conditions.timeout_s is not None:
            faulthandler.dump_traceback_later(self.conditions.timeout_s, exit=True, file=2)

    def cleanup(self) -> None:
        self._release()
        self.replicas.close()

    def _start_trial(self, config: dict[str, Any]) -> None:
        self._release()
        self._start_timeout()
        try:
            self.conditions.plugins.install()
            context = self._trial_context()
            trial = json.loads(config["trial"])
            architecture = Architecture.from_json(trial["architecture"])
            _check_cost(architecture, trial)
            recipe = recipe_from_json(trial["recipe"])
            self.architecture, self.seed = architecture, trial["seed"]
            self.checkpoint_dir = self.conditions.checkpoints.of_trial(trial["trial"])
            self.identity = identity_of(trial)
            make = partial(context.fit, architecture, recipe, self.seed)
            self.fit = self._resumed(lambda: self.replicas.start(trial, make))
            if self.probe is not None:
                scores = proxy_scores(self.conditions.proxies, architecture, self.probe)
                self.pending = replace(self.pending, proxies=scores)
            if enabled():
                self.fit.module.register_forward_pre_hook(_mid_epoch)
        except RankLostError:
            raise
        except Exception as error:
            self.failed = self._failed(error)

    def _trial_context(self) -> TrialContext:
        """Return the context with the data on the device.

        The first trial creates it, not ``setup``: an error then fails only this trial, and the next one tries again.
        """
        if self.context is None:
            self.context = self.conditions.context(self.data, self.device, self.replicas.ranks)
            probe = self.conditions.probe
            self.probe = probe and probe.to(self.device)
        return self.context

    def _resumed(self, make: Callable[[], TrialFit]) -> TrialFit:
        """Return a fit resumed from the newest intact checkpoint. One that cannot be loaded is only reported."""
        fit, checkpoint = make(), load(self.checkpoint_dir, self.identity)
        problems = [*checkpoint.problems]
        if checkpoint.state is not None:
            try:
                self.replicas.load(fit, checkpoint.state)
            except (torch.OutOfMemoryError, RankLostError):
                raise  # a failure of the trial, not of the checkpoint
            except (ValueError, TypeError, KeyError, AttributeError, RuntimeError) as error:
                fit = make()  # part of the state may have been loaded
                problems.append(
                    f"cannot load a checkpoint in {self.checkpoint_dir.url}: {type(error).__name__}: {error}"
                )
        start = TrialStart.in_this_process(fit.epoch, self._device_name())
        self.pending = TrialReport(start=start, problems=tuple(problems))
        return fit

    def _release(self) -> None:
        """Free the memory of the network before the next one needs it."""
        faulthandler.cancel_dump_traceback_later()
        if self.context is not None and self.fit is not None:
            self.context.close(self.fit)
            self.replicas.release()
        self.fit = None
        self.failed, self.pending, self.reported, self.timed = TrialReport(), TrialReport(), 0, False
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _device_name(self) -> str:
        return torch.cuda.get_device_name() if self.device.type == "cuda" else "cpu"


def _check_cost(architecture: Architecture, trial: Mapping[str, Any]) -> None:
    """Raise ``PluginError`` if a custom block makes another network here than in the driver, which knows the budget."""
    if not custom_kinds(trial["architecture"]):
        return
    for name in COUNTS:
        there, here = trial[name], getattr(architecture.cost, name)
        if there != here:
            raise PluginError(
                f"a custom block must be the same network in every process, but {architecture} has {name} {there:,} "
                f"where the search was started and {here:,} on a worker; use no random numbers and no global values in "
                "expand() and module()"
            )


class DiagnosisFields(NamedTuple):
    """The fields of a report that a diagnosis sets."""

    diagnosis: Diagnosis | None = None
    diagnosis_error: str | None = None


class LatencyFields(NamedTuple):
    """The fields of a report that a latency measurement sets."""

    latency: Mapping[str, Any] | None = None
    latency_error: str | None = None


def failure_of(error: BaseException) -> Failure:
    """Describe why a trial that raised ``error`` failed. The reason of a bug includes the file and line."""
    kind = fail_kind(error)
    reason = f"{type(error).__name__}: {error}".strip()
    if kind is FailKind.BUG:
        reason += at_line(error, folder=False)  # equal reasons of all workers are counted
    return Failure(kind, reason, "".join(traceback.format_exception(error)))


def fail_kind(error: BaseException) -> FailKind:
    """Return the kind of failure that ``error`` is. Out-of-memory errors without a class are known by their message."""
    if isinstance(error, Diverged):
        return FailKind.DIVERGED
    if isinstance(error, torch.OutOfMemoryError | MemoryError) or any(part in str(error) for part in _OOM_MESSAGES):
        return FailKind.OOM
    if isinstance(error, OSError) and error.errno in DISK_FULL_ERRNOS:
        return FailKind.DISK_FULL
    if isinstance(error, RankLostError):
        return FailKind.WORKER_LOST
    if isinstance(error, DeviceOfflineError):
        return FailKind.DEVICE_OFFLINE
    if isinstance(error, DataError | OSError):
        return FailKind.DATA
    if isinstance(error, ValueError):
        return FailKind.USER_ERROR
    return FailKind.BUG


def _mid_epoch(module: torch.nn.Module, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...] | None:
    """Inject a planned fault between two batches."""
    return tuple(arg * torch.nan for arg in args) if fault("mid_epoch") == "nan" else None
