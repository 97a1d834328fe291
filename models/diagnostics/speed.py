"""The check of speed: seconds a training step, and where they go."""

import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from time import perf_counter

import torch

from ..training.optimizers import make_optimizer
from .context import Finding, Patient

WARM, TIMED = 2, 8  # steps
DATA_SHARE = 0.3  # of a step, above which data are the bottleneck
TOP = 3  # operators named


def speed(patient: Patient) -> Finding:
    """Milliseconds of data, forward, backward and update of a step, the medians of some; the dearest operators."""
    module, batch = patient.make(patient.seed).train(), patient.recipe.batch_size
    optimizer, split = make_optimizer(module, patient.recipe), patient.subset(batch)
    order = torch.arange(len(split))
    parts: dict[str, list[float]] = {"data": [], "forward": [], "backward": [], "update": []}

    def step() -> None:
        marks = [perf_counter()]
        images = patient.inputs(split.take(order).images)
        marks.append(perf_counter())
        loss = patient.loss(module(images), split.labels)
        marks.append(perf_counter())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        marks.append(perf_counter())
        optimizer.step()
        marks.append(perf_counter())
        for name, begin, end in zip(parts, marks, marks[1:], strict=False):
            parts[name].append(end - begin)

    for _ in range(WARM + TIMED):
        step()
    spent = {name: 1e3 * median(times[WARM:]) for name, times in parts.items()}
    whole = sum(spent.values())
    epoch_s = whole * math.ceil(len(patient.data.train) / batch) / 1e3
    told = ", ".join(f"{name} {ms / whole:.0%}" for name, ms in spent.items())
    dearest = _dearest(step)
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
