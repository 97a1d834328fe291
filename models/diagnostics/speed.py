"""Check of speed: the duration of a training step and of its phases."""

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

from ..optimization.optimizers import make_optimizer
from ..optimization.steps import train_steps
from .context import DiagnosticContext, Finding

# The first steps include one-time costs such as memory allocation, so they are not timed.
WARMUP_STEPS, TIMED_STEPS = 2, 8
PHASES = ("data", "forward", "backward", "update")
MAX_DATA_SHARE = 0.3  # of a step; above it the data are the bottleneck
MAX_OPERATORS = 3  # named in the evidence


def speed(context: DiagnosticContext) -> Finding:
    """Measure the median milliseconds of data, forward, backward and update, and name the slowest operators."""
    module, batch = context.make(context.seed).train(), context.recipe.batch_size
    optimizer, split = make_optimizer(module, context.recipe), context.subset(batch)
    marks: list[float] = []

    def mark(*_: object) -> None:
        marks.append(perf_counter())

    def loss_of(index: Tensor) -> Tensor:
        mark()
        images = context.inputs(split.take(index).images)
        mark()
        loss = context.loss(module(images), split.labels)
        mark()
        return loss

    def train(steps: int) -> None:
        for _ in train_steps(repeat(torch.arange(len(split)), steps), loss_of, optimizer):
            pass

    # five marks per step: before data, before forward, before backward, before and after the update
    optimizer.register_step_pre_hook(mark)
    optimizer.register_step_post_hook(mark)
    train(WARMUP_STEPS + TIMED_STEPS)
    times = torch.tensor(marks, dtype=torch.float64).view(-1, len(PHASES) + 1).diff(dim=1)[WARMUP_STEPS:]
    phase_ms = {name: 1e3 * median(seconds.tolist()) for name, seconds in zip(PHASES, times.T, strict=True)}
    step_ms = sum(phase_ms.values())
    epoch_s = step_ms * math.ceil(len(context.data.train) / batch) / 1e3
    shares = ", ".join(f"{name} {ms / step_ms:.0%}" for name, ms in phase_ms.items())
    slowest = _slowest_operators(partial(train, 1))
    evidence = (
        f"{step_ms:.1f} ms per step of {batch} images ({shares}), {epoch_s:.1f} s per epoch; "
        f"slowest operators: {slowest}"
    )
    metrics = {"step_ms": step_ms, **{f"{name}_ms": ms for name, ms in phase_ms.items()}, "epoch_s": epoch_s}
    if phase_ms["data"] > MAX_DATA_SHARE * step_ms:
        return Finding("speed", "watch", f"the data are the bottleneck: {evidence}", "use smaller images", metrics)
    return Finding("speed", "good", evidence, "", metrics)


def _slowest_operators(step: Callable[[], None]) -> str:
    """Return the operators with the most self time in one step, by torch's profiler, as text."""
    from torch.profiler import ProfilerActivity, profile

    with _stderr_to_null(), profile(activities=[ProfilerActivity.CPU], acc_events=True) as profiler:
        step()
    rows = [row for row in profiler.key_averages() if row.key.startswith("aten::")]
    rows.sort(key=lambda row: -row.self_cpu_time_total)
    total = sum(row.self_cpu_time_total for row in rows) or 1.0
    return ", ".join(
        f"{row.key.removeprefix('aten::')} {row.self_cpu_time_total / total:.0%}" for row in rows[:MAX_OPERATORS]
    )


@contextmanager
def _stderr_to_null() -> Iterator[None]:
    """Redirect stderr to the null device.

    A profiler built for CUDA warns there about a missing driver. The warning comes from C++, so Python's
    ``contextlib.redirect_stderr`` does not catch it.
    """
    saved_fd, null_fd = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null_fd, 2)
    try:
        yield
    finally:
        os.dup2(saved_fd, 2)
        os.close(saved_fd)
        os.close(null_fd)
