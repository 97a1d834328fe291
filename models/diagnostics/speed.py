"""The check of speed: seconds a training step, and where they go."""

import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import repeat
from statistics import median
from time import perf_counter

import torch
from torch import Tensor

from ..training.optimizers import make_optimizer
from ..training.steps import train_steps
from .context import Finding, Patient

WARM, TIMED = 2, 8  # steps
PARTS = ("data", "forward", "backward", "update")
DATA_SHARE = 0.3  # of a step, above which data are the bottleneck
TOP = 3  # operators named


def speed(patient: Patient) -> Finding:
    """Milliseconds of data, forward, backward and update of a step, the medians of some; the dearest operators."""
    module, batch = patient.make(patient.seed).train(), patient.recipe.batch_size
    optimizer, split = make_optimizer(module, patient.recipe), patient.subset(batch)
    marks: list[float] = []

    def mark(*_: object) -> None:
        marks.append(perf_counter())

    def loss_of(index: Tensor) -> Tensor:
        mark()
        images = patient.inputs(split.take(index).images)
        mark()
        loss = patient.loss(module(images), split.labels)
        mark()
        return loss

    def train(steps: int) -> None:
        for _ in train_steps(repeat(torch.arange(len(split)), steps), loss_of, optimizer):
            pass

    optimizer.register_step_pre_hook(mark)
    optimizer.register_step_post_hook(mark)
    train(WARM + TIMED)
    times = torch.tensor(marks, dtype=torch.float64).view(-1, len(PARTS) + 1).diff(dim=1)[WARM:]
    spent = {name: 1e3 * median(seconds.tolist()) for name, seconds in zip(PARTS, times.T, strict=True)}
    whole = sum(spent.values())
    epoch_s = whole * math.ceil(len(patient.data.train) / batch) / 1e3
    told = ", ".join(f"{name} {ms / whole:.0%}" for name, ms in spent.items())
    dearest = _dearest(partial(train, 1))
    evidence = f"{whole:.1f} ms a step of {batch} images ({told}), {epoch_s:.1f} s an epoch; dearest: {dearest}"
    figures = {"step_ms": whole, **{f"{name}_ms": ms for name, ms in spent.items()}, "epoch_s": epoch_s}
    if spent["data"] > DATA_SHARE * whole:
        return Finding("speed", "watch", f"the data are the bottleneck: {evidence}", "use smaller images", figures)
    return Finding("speed", "good", evidence, "", figures)


def _dearest(step: Callable[[], None]) -> str:
    """The operators with most time of their own in one step, by torch's profiler."""
    from torch.profiler import ProfilerActivity, profile

    with _silent(), profile(activities=[ProfilerActivity.CPU], acc_events=True) as found:
        step()
    rows = [row for row in found.key_averages() if row.key.startswith("aten::")]
    rows.sort(key=lambda row: -row.self_cpu_time_total)
    total = sum(row.self_cpu_time_total for row in rows) or 1.0
    return ", ".join(f"{row.key.removeprefix('aten::')} {row.self_cpu_time_total / total:.0%}" for row in rows[:TOP])


@contextmanager
def _silent() -> Iterator[None]:
    """Nothing on stderr: a profiler built for CUDA complains there, past Python, that it finds no driver."""
    kept, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(null)
