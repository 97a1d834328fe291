"""Measurements: how long a forward pass takes and how much memory it needs, on the device at hand."""

import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Measurement:
    """Latency and peak memory of a forward pass in float32, evaluation mode, without gradients.

    ``latency_ms_p50`` and ``latency_ms_p90`` are over ``n`` passes after ``warmup`` ones. ``peak_memory_bytes`` is the
    weights and the most that a pass allocates beside them: on CUDA as torch's allocator counts it, on a CPU by how far
    the process grows during the first pass; None where the operating system does not tell (not Linux).
    """

    device: str
    machine: str
    torch: str
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


def measure(
    module: nn.Module,
    input_shape: Sequence[int],
    *,
    device: str = "cpu",
    batch_size: int = 1,
    warmup: int = 3,
    n: int = 20,
) -> Measurement:
    """Time ``module`` on ``device`` with one random batch; the module is moved there and put in evaluation mode."""
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError("the device cuda needs a CUDA GPU, but torch sees none; use cpu")
    if warmup < 1 or n < 2:
        raise ValueError(f"latency needs at least 1 warm-up and 2 timed passes, but got warmup {warmup} and n {n}")
    place = torch.device(device)
    module = module.to(place).eval()
    batch = torch.rand(batch_size, *input_shape, device=place)
    with torch.inference_mode():
        peak = (_cuda_peak if place.type == "cuda" else _cpu_peak)(module, batch)
        for _ in range(warmup - 1):
            module(batch)
        times = [_milliseconds(module, batch) for _ in range(n)]
    machine = torch.cuda.get_device_name(place) if place.type == "cuda" else f"{platform.machine()} CPU"
    p50, p90 = statistics.median(times), statistics.quantiles(times, n=10, method="inclusive")[-1]
    return Measurement(
        device, machine, torch.__version__, batch_size, torch.get_num_threads(), warmup, n, p50, p90, peak
    )


def _milliseconds(module: nn.Module, batch: Tensor) -> float:
    wait: Callable[[], None] = torch.cuda.synchronize if batch.is_cuda else lambda: None
    wait()
    started = time.perf_counter()
    module(batch)
    wait()
    return 1000 * (time.perf_counter() - started)


def _weights_bytes(module: nn.Module) -> int:
    return sum(tensor.nbytes for tensor in (*module.parameters(), *module.buffers()))


def _cuda_peak(module: nn.Module, batch: Tensor) -> int:
    torch.cuda.synchronize(batch.device)
    before = torch.cuda.memory_allocated(batch.device)
    torch.cuda.reset_peak_memory_stats(batch.device)
    module(batch)
    torch.cuda.synchronize(batch.device)
    return _weights_bytes(module) + torch.cuda.max_memory_allocated(batch.device) - before


def _cpu_peak(module: nn.Module, batch: Tensor) -> int | None:
    """Linux forgets a process's highest memory on request, and tells the new one."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
        before = _status_bytes("VmRSS")
        module(batch)
        return _weights_bytes(module) + max(0, _status_bytes("VmHWM") - before)
    except OSError:
        module(batch)
        return None


def _status_bytes(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))
