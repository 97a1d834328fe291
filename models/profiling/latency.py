"""Measurements: how long a forward pass takes and how much memory it needs, on the device at hand."""

import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..networks.compute import Compute, synchronize

Forward = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Measurement:
    """Latency and peak memory of a forward pass in evaluation mode, without gradients.

    ``precision`` is fp32, or bf16 by autocast. ``latency_ms_p50`` and ``latency_ms_p90`` are over ``n`` passes after
    ``warmup`` ones. ``peak_memory_bytes`` is the weights and the most that a pass allocates beside them: on CUDA as
    torch's allocator counts it, on a CPU by how far the process grows during the first pass; None where the operating
    system does not tell (not Linux).
    """

    device: str
    machine: str
    torch: str
    precision: str
    batch_size: int
    threads: int
    warmup: int
    n: int
    latency_ms_p50: float
    latency_ms_p90: float
    peak_memory_bytes: int | None

    def to_json(self) -> dict[str, Any]:
        """The measurement as JSON's own types."""
        return asdict(self)


def measure_latency(
    module: nn.Module,
    input_shape: Sequence[int],
    *,
    device: str = "cpu",
    precision: str = "fp32",
    channels_last: bool = False,
    batch_size: int = 1,
    warmup: int = 3,
    n: int = 20,
) -> Measurement:
    """Time ``module`` on ``device`` with one random batch; the module is moved there and put in evaluation mode.

    Torch's global generators are left as they were.
    """
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError("the device cuda needs a CUDA GPU, but torch sees none; use cpu")
    if warmup < 1 or n < 2:
        raise ValueError(f"latency needs at least 1 warm-up and 2 timed passes, but got warmup {warmup} and n {n}")
    compute = Compute(torch.device(device), precision, channels_last)
    place = compute.device
    module = compute.place(module).eval()
    batch = torch.rand(batch_size, *input_shape, generator=torch.Generator().manual_seed(0)).to(place)
    forward = partial(compute.logits, module)
    with torch.inference_mode():
        peak = _weights_bytes(module) + grown if (grown := _grown_bytes(forward, batch)) is not None else None
        for _ in range(warmup - 1):
            forward(batch)
        times = [_milliseconds(forward, batch) for _ in range(n)]
    machine = torch.cuda.get_device_name(place) if place.type == "cuda" else f"{platform.machine()} CPU"
    p50, p90 = statistics.median(times), statistics.quantiles(times, n=10, method="inclusive")[-1]
    threads = torch.get_num_threads()
    return Measurement(device, machine, torch.__version__, precision, batch_size, threads, warmup, n, p50, p90, peak)


def _milliseconds(forward: Forward, batch: Tensor) -> float:
    synchronize(batch.device)
    started = time.perf_counter()
    forward(batch)
    synchronize(batch.device)
    return 1000 * (time.perf_counter() - started)


def _weights_bytes(module: nn.Module) -> int:
    return sum(tensor.nbytes for tensor in (*module.parameters(), *module.buffers()))


def _grown_bytes(forward: Forward, batch: Tensor) -> int | None:
    """By how much a first pass grows the memory in use, at its peak."""
    return (_cuda_growth if batch.is_cuda else _cpu_growth)(forward, batch)


def _cuda_growth(forward: Forward, batch: Tensor) -> int:
    torch.cuda.synchronize(batch.device)
    before = torch.cuda.memory_allocated(batch.device)
    torch.cuda.reset_peak_memory_stats(batch.device)
    forward(batch)
    torch.cuda.synchronize(batch.device)
    return torch.cuda.max_memory_allocated(batch.device) - before


def _cpu_growth(forward: Forward, batch: Tensor) -> int | None:
    """Linux forgets a process's highest memory on request, and tells the new one."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
        before = _status_bytes("VmRSS")
        forward(batch)
        return max(0, _status_bytes("VmHWM") - before)
    except OSError:
        forward(batch)
        return None


def _status_bytes(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))
