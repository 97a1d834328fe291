"""Measure the latency and the peak memory of a forward pass on a device of this machine."""

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

    ``precision`` is fp32, or bf16 by autocast. ``latency_ms_p50`` and ``latency_ms_p90`` are percentiles over ``n``
    passes after ``warmup`` passes. ``peak_memory_bytes`` is the weights plus the most that a pass allocates:
    on CUDA as counted by torch's allocator, on a CPU as the growth of the process during the first pass. It is None
    where the operating system does not report it (all except Linux).
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
        """Return the measurement as JSON-serialisable types."""
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
    """Time ``module`` on ``device`` with one random batch of images of ``input_shape``.

    The module is moved to the device and put into evaluation mode. Torch's global random generators do not change.
    Raises ``ValueError`` for cuda without a GPU, and for fewer than 1 warm-up or 2 timed passes.
    """
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError("the device cuda needs a CUDA GPU, but torch finds none; use cpu")
    if warmup < 1 or n < 2:
        raise ValueError(
            f"latency needs at least 1 warm-up and 2 timed passes, but got warmup {warmup} and n {n}; "
            "use values such as 3 and 50"
        )
    compute = Compute(torch.device(device), precision, channels_last)
    target = compute.device
    module = compute.place(module).eval()
    # a separate generator: the global one must not change
    batch = torch.rand(batch_size, *input_shape, generator=torch.Generator().manual_seed(0)).to(target)
    forward = partial(compute.logits, module)
    with torch.inference_mode():
        # measured in the first pass: later passes reuse memory that the process already holds
        peak = _weights_bytes(module) + growth if (growth := _peak_growth(forward, batch)) is not None else None
        for _ in range(warmup - 1):  # the pass that measures the memory is the first warm-up
            forward(batch)
        times = [_milliseconds(forward, batch) for _ in range(n)]
    machine = torch.cuda.get_device_name(target) if target.type == "cuda" else f"{platform.machine()} CPU"
    p50, p90 = statistics.median(times), statistics.quantiles(times, n=10, method="inclusive")[-1]
    threads = torch.get_num_threads()
    return Measurement(device, machine, torch.__version__, precision, batch_size, threads, warmup, n, p50, p90, peak)


def _milliseconds(forward: Forward, batch: Tensor) -> float:
    synchronize(batch.device)  # CUDA runs asynchronously: without it only the launch is timed
    started = time.perf_counter()
    forward(batch)
    synchronize(batch.device)
    return 1000 * (time.perf_counter() - started)


def _weights_bytes(module: nn.Module) -> int:
    return sum(tensor.nbytes for tensor in (*module.parameters(), *module.buffers()))


def _peak_growth(forward: Forward, batch: Tensor) -> int | None:
    """Return the bytes by which the first pass increases the peak memory, None if unknown."""
    return (_cuda_growth if batch.is_cuda else _cpu_growth)(forward, batch)


def _cuda_growth(forward: Forward, batch: Tensor) -> int:
    torch.cuda.synchronize(batch.device)
    before = torch.cuda.memory_allocated(batch.device)
    torch.cuda.reset_peak_memory_stats(batch.device)
    forward(batch)
    torch.cuda.synchronize(batch.device)
    return torch.cuda.max_memory_allocated(batch.device) - before


def _cpu_growth(forward: Forward, batch: Tensor) -> int | None:
    """Measure the growth of the process on Linux: reset its memory peak, run, and read the new peak."""
    try:
        Path("/proc/self/clear_refs").write_text("5")  # 5 resets VmHWM, the peak of the resident memory
        before = _status_bytes("VmRSS")
        forward(batch)
        return max(0, _status_bytes("VmHWM") - before)
    except OSError:
        forward(batch)
        return None


def _status_bytes(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))
