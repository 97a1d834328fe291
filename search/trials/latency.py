"""Latency of a network on the worker that trains it, or on the device of the search file.

Imports no torch, because the driver uses the settings, too.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..cluster.threads import set_up_worker
from ..config.schema import SearchFile

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ...models.profiling.device_command import DeviceCommand
    from ...spaces.architectures.architecture import Architecture


@dataclass(frozen=True)
class Timing:
    """The settings of a latency measurement.

    Args:
        cpus: cores of one trial.
        gpus: GPUs of one trial, or a fraction of one.
        precision: fp32 or bf16.
        batch_size: images per forward pass.
        warmup: forward passes before the measurement.
        n: measured forward passes.
        early: measure after the first epoch instead of the last one, because a scheduler may stop the trial early.
        command: what measures on a device; None to measure on the worker.
        format: format of the exported network for ``command``.
    """

    cpus: float
    gpus: float
    precision: str
    batch_size: int
    warmup: int
    n: int
    early: bool = False
    command: "DeviceCommand | None" = None
    format: str = ""

    @classmethod
    def of(cls, file: SearchFile) -> "Timing":
        """Return the settings of a search file."""
        resources, latency = file.resources, file.latency
        return cls(
            resources.cpus_per_trial,
            resources.gpus,
            resources.precision,
            latency.batch_size,
            latency.warmup,
            latency.n,
            early=file.search.scheduler != "none",
            command=file.device.command(),
            format=file.device.format,
        )

    def measure(
        self, network: "nn.Module", architecture: "Architecture", device: "torch.device", *, input_shape: Any = None
    ) -> dict[str, Any]:
        """Measure a network and return the result as JSON types. The network stays in evaluation mode.

        Without a command, ``network`` is measured on this worker, with images of ``input_shape`` (channels, height,
        width), by default that of ``architecture``. With a command, an untrained network of ``architecture`` is
        exported and measured on the device.
        """
        if self.command is not None:
            from ...models.export.timed_file import measure_on_device

            return measure_on_device(architecture, self.command, self.format)
        from ...models.profiling.latency import measure_latency

        measurement = measure_latency(
            network,
            input_shape or architecture.input_shape,
            device=str(device),
            precision=self.precision,
            channels_last=device.type == "cuda",  # the memory format of training on a GPU
            batch_size=self.batch_size,
            warmup=self.warmup,
            n=self.n,
        )
        return measurement.to_json()


def time_networks(architectures: list[dict[str, Any]], timing: Timing) -> list[dict[str, Any]]:
    """Measure untrained networks one after another on this worker; return their measurements as JSON types."""
    from ...models.networks.build import build
    from ...models.process.cores import load_per_core
    from ...spaces.architectures.architecture import Architecture

    # As many threads as a trial has, because latency depends on them.
    device = set_up_worker(timing.cpus, timing.gpus)
    measurements = []
    for index, architecture in enumerate(map(Architecture.from_json, architectures)):
        load = load_per_core() if timing.command is None else None  # a device has its own
        measured = timing.measure(build(architecture, seed=index), architecture, device)
        measurements.append(measured if load is None else {**measured, "load_per_core": load})
    return measurements
