"""One trial: a network built, trained an epoch per step, and its best epoch tested, inside a Ray worker."""

import errno
import faulthandler
import json
import os
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from ray import tune

from ...models.data.dataset import DataError
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
from ..tasks.base import TrialContext, TrialFit
from ..tasks.registry import TASKS
from .checkpoint_files import Checkpoints, Shelf, identity_of, load, save
from .latency import Timing

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


class NetworkTrial(tune.Trainable):
    """Tune's view of a trial. The data are handed over once per worker; workers go from trial to trial.

    A trial that fails says so in its last result instead of raising: a raise would end the worker, and the next trial
    would wait for a new one.
    """

    fit: TrialFit | None
    architecture: Architecture
    seed: int
    data: Any
    context: TrialContext | None
    failure: dict[str, Any]
    shelf: Shelf
    identity: str
    reported: int  # epochs that the driver has heard of from this process
    timed: bool  # whether the driver has heard how long the network takes
    probe: Probe | None
    news: dict[str, Any]  # for the next result: the epoch that the trial went on from, and what was in the way

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
            return self.failure
        if self.reported == 0:
            self._watch()  # anew: the driver counts from here
        try:
            if not self.fit.done:
                self.fit.step()
                if not self.fit.done:
                    self._save()
            return self._result()
        except Exception as error:
            examined = self._examined() if isinstance(error, Diverged) else {}
            return {**self._failed(error), **examined}

    def _failed(self, error: BaseException) -> dict[str, Any]:
        """The last result of a trial that raised ``error``; where it ran is told too, if it never was."""
        told = {**self.news, "device": self._device_name()}
        self._release()
        return {**told, **failure(error)}

    def _result(self) -> dict[str, Any]:
        """The last epoch for Tune, and every epoch not yet reported for the driver."""
        assert self.fit is not None
        epochs = [asdict(result) for result in self.fit.history]
        result = {**epochs[-1], "epochs": epochs[self.reported :], "done": self.fit.done, "device": self._device_name()}
        if self.reported == 0:
            self.news |= {k: v for k, v in asdict(self._trial_context().start_metrics(self.fit)).items() if v}
        result, self.reported, self.news = {**result, **self.news}, len(epochs), {}
        if self.fit.done:
            result |= asdict(self._trial_context().final_metrics(self.fit))
            if rose([epoch["train_loss"] for epoch in epochs]):
                result |= self._examined()
        if not self.timed and (self.fit.done or self.conditions.timing.early):
            result |= self._time()
        return result

    def _examined(self) -> dict[str, Any]:
        """What is behind a loss that left the numbers or rose; the trial has ended as it did, whatever breaks here."""
        assert self.fit is not None
        try:
            found = self._trial_context().diagnose(self.fit, self.architecture, self.seed)
            return {} if found is None else {"examined": asdict(found)}
        except Exception as error:
            return {"not_examined": f"{type(error).__name__}: {error}"}

    def _time(self) -> dict[str, Any]:
        """How long the network takes. Too little memory for the timed batch is told, and costs no trained trial."""
        assert self.fit is not None
        self.timed = True
        try:
            context = self._trial_context()
            module = context.timed_module(self.fit)
            return {"measured": self.conditions.timing.measured(module, context.input_shape, self.device)}
        except torch.OutOfMemoryError as error:
            return {"not_measured": str(error)}

    def _save(self) -> None:
        """Put the epoch down. A disk that is full ends the trial for now; any other trouble is told, and no more."""
        assert self.fit is not None
        try:
            save(self.shelf, self.identity, self.fit.epoch, self.fit.state_dict())
        except OSError as error:
            if error.errno in FULL:
                raise
            self.news.setdefault("problems", []).append(f"epoch {self.fit.epoch} has no checkpoint: {error}")

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
            context = self._trial_context()
            trial = json.loads(config["trial"])
            architecture = Architecture.from_json(trial["architecture"])
            recipe = recorded_recipe(trial["recipe"])
            self.architecture, self.seed = architecture, trial["seed"]
            self.shelf, self.identity = self.conditions.checkpoints.shelf(trial["trial"]), identity_of(trial)
            self.fit = self._gone_on(partial(context.fit, architecture, recipe, self.seed))
            if self.probe is not None:
                self.news["proxies"] = proxy_scores(self.conditions.proxies, architecture, self.probe)
            if enabled():
                self.fit.module.register_forward_pre_hook(_mid_epoch)
        except Exception as error:
            self.failure = self._failed(error)

    def _trial_context(self) -> TrialContext:
        """The context, with the data on the device; made by the first trial, which fails by what breaks there."""
        if self.context is None:
            told = self.conditions
            self.context = TASKS[told.task].trial_context(
                self.data, self.device, precision=told.precision, folds=told.folds, fold_seed=told.fold_seed
            )
            self.probe = told.probe and told.probe.to(self.device)
        return self.context

    def _gone_on(self, anew: Callable[[], TrialFit]) -> TrialFit:
        """A fit with the newest checkpoint that is whole taken up; one that does not fit is told, and not taken."""
        fit, found = anew(), load(self.shelf, self.identity)
        if found.state is not None:
            try:
                fit.load_state_dict(found.state)
            except torch.OutOfMemoryError:
                raise
            except (ValueError, TypeError, KeyError, AttributeError, RuntimeError) as error:
                fit = anew()  # half of it may have been taken up
                found.problems.append(f"a checkpoint in {self.shelf.url} does not fit: {type(error).__name__}: {error}")
        self.news = {"began": fit.epoch, "problems": found.problems}
        return fit

    def _release(self) -> None:
        """Let go of the network before the next one needs its memory."""
        faulthandler.cancel_dump_traceback_later()
        self.fit = None
        self.failure, self.news, self.reported, self.timed = {}, {}, 0, False
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _device_name(self) -> str:
        return torch.cuda.get_device_name() if self.device.type == "cuda" else "cpu"


def failure(error: BaseException) -> dict[str, Any]:
    """The last result of a trial that raised ``error``. The accuracy is for Tune's schedulers, which demand one."""
    kind = fail_kind(error)
    said = f"{type(error).__name__}: {error}".strip()
    if kind is FailKind.BUG:
        said += f" ({_place(error)})"
    trace = "".join(traceback.format_exception(error))
    return {"done": True, "fail_kind": kind.value, "reason": said, "traceback": trace, "val_accuracy": 0.0}


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
