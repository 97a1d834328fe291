"""Timing: how long a network takes on the worker that has it. Imports no torch: the driver needs it too."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..cluster.threads import set_up_worker
from ..config.schema import SearchFile

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True)
class Timing:
    """How networks are timed: one trial's cores and GPUs, precision and batch size, passes to warm up and timed ones.

    ``early`` times a trial after its first epoch, for it may be stopped before its last; else it is timed after that.
    """

    cpus: float
    gpus: float
    precision: str
    batch_size: int
    warmup: int
    n: int
    early: bool = False

    @classmethod
    def of(cls, file: SearchFile) -> "Timing":
        """The timing that a search file asks for."""
        resources, latency = file.resources, file.latency
        return cls(
            resources.cpus_per_trial,
            resources.gpus,
            resources.precision,
            latency.batch_size,
            latency.warmup,
            latency.n,
            early=file.search.scheduler != "none",
        )

    def measured(self, network: "nn.Module", input_shape: tuple[int, ...], device: "torch.device") -> dict[str, Any]:
        """The measurement of a network on this worker, as JSON's own types; it is left in evaluation mode."""
        from ...models.profiling.latency import measure_latency

        found = measure_latency(
            network,
            input_shape,
            device=str(device),
            precision=self.precision,
            channels_last=device.type == "cuda",
            batch_size=self.batch_size,
            warmup=self.warmup,
            n=self.n,
        )
        return found.to_json()


def time_networks(architectures: list[dict[str, Any]], timing: Timing) -> list[dict[str, Any]]:
    """The measurements of untrained networks, one after another, on the worker that runs this."""
    from ...models.networks.build import build
    from ...spaces.architectures.architecture import Architecture

    device = set_up_worker(timing.cpus, timing.gpus)
    found = []
    for place, architecture in enumerate(map(Architecture.from_json, architectures)):
        found.append(timing.measured(build(architecture, seed=place), architecture.input_shape, device))
    return found
