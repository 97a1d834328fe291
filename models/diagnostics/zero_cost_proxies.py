"""Proxies: scores of untrained networks, each from one batch of training pictures.

Shapes: N images (N, C, H, W) of K classes. Every proxy builds its network anew, from the probe's seed and without
dropout, and says a finite number or why it cannot. To add one, write a function and a row of the table.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ...spaces.architectures.architecture import Architecture
from ...spaces.parameters.lookup import look_up
from ..data.dataset import Device, ImageData, in_unit_range
from ..networks.build import ACTIVATION_MODULES, build
from ..networks.modules import LocalContrastModule

PICTURES = 64
JITTER = 1e-5  # added to the eigenvalues by Mellor et al. (version 1)
_OF_BACKBONES = (nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SiLU, nn.GELU, nn.Hardswish)
_ACTIVATIONS = tuple({*(type(make(1)) for make in ACTIVATION_MODULES.values()), *_OF_BACKBONES})


class NoScoreError(ValueError):
    """A proxy that has nothing to say of a network; the message is why."""


@dataclass(frozen=True, eq=False)
class Probe:
    """What networks are scored on: normalised training ``images`` (N, C, H, W), ``labels`` (N,), a seed of weights."""

    images: Tensor
    labels: Tensor
    seed: int

    def to(self, device: Device) -> "Probe":
        """The probe on ``device``."""
        return Probe(self.images.to(device), self.labels.to(device), self.seed)


Proxy = Callable[[Architecture, Probe], float]


def probe(data: ImageData, seed: int, pictures: int = PICTURES) -> Probe:
    """A probe of training pictures drawn by ``seed``, neither validation nor test ones; all where there are fewer."""
    order = torch.randperm(len(data.train), generator=torch.Generator().manual_seed(seed))
    batch = data.train.take(order[:pictures].to(data.train.labels.device))
    return Probe(data.normalise(in_unit_range(batch.images)), batch.labels, seed)


def proxy_scores(names: Iterable[str], architecture: Architecture, probe: Probe) -> dict[str, float | str]:
    """What each proxy says of ``architecture``: a finite score, or in words why there is none.

    Raises ``ValueError`` for the name of no proxy.
    """
    proxies = {name: look_up(PROXIES, name, "proxy") for name in names}
    return {name: _said(proxy, architecture, probe) for name, proxy in proxies.items()}


def _said(proxy: Proxy, architecture: Architecture, probe: Probe) -> float | str:
    try:
        value = proxy(architecture, probe)
    except (ValueError, RuntimeError) as error:  # a score is beside the point: whatever breaks costs no trial
        return f"{error}" or type(error).__name__
    return value if math.isfinite(value) else f"the score is {value}"


def grad_norm(architecture: Architecture, probe: Probe) -> float:
    """The sum over convolutions and linear layers of the norm of the loss's gradient (arXiv 2101.08134)."""
    network = _network(architecture, probe)
    F.cross_entropy(network(probe.images), probe.labels).backward()  # type: ignore[no-untyped-call]
    return float(sum(_gradient(layer).norm() for layer in _weighted(network)))


def synflow(architecture: Architecture, probe: Probe) -> float:
    """The logarithm of the sum of |theta * dR/dtheta| (Tanaka et al. 2020, arXiv 2006.05467); it sees no data.

    R is the sum of the scores of one picture of ones through a network of absolute weights. Batch norm is left out and
    all is in float64, as in Abdelfattah et al. 2021 (arXiv 2101.08134); the logarithm, which ranks the same, is ours,
    and so is that contrast normalisation is left out too: of one plain picture it leaves nothing.
    """
    network = _network(architecture, probe).double()
    _leave_out_norms(network)
    with torch.no_grad():
        for weights in network.parameters():
            weights.abs_()
    network(torch.ones_like(probe.images[:1], dtype=torch.float64)).sum().backward()
    total = float(sum((layer.weight.detach() * _gradient(layer)).abs().sum() for layer in _weighted(network)))
    if total <= 0:
        raise NoScoreError(f"the logarithm needs a flow above 0, but it is {total}")
    return math.log(total)


def naswot(architecture: Architecture, probe: Probe) -> float:
    """The log-determinant of how many nonlinearities agree for each two pictures (Mellor et al., arXiv 2006.04647).

    A nonlinearity's code is whether its input is above 0; K[i, j] counts those of equal code for pictures i and j.
    """
    network = _network(architecture, probe)
    agreed = torch.zeros(len(probe.images), len(probe.images), dtype=torch.float64, device=probe.images.device)
    units = 0

    def note(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        nonlocal agreed, units
        on = (inputs[0] > 0).flatten(1).double()
        agreed += on @ on.T + (1 - on) @ (1 - on).T
        units += on.shape[1]

    for layer in network.modules():
        if isinstance(layer, _ACTIVATIONS):
            layer.register_forward_pre_hook(note)
    with torch.no_grad():
        network(probe.images)
    if not units:
        raise NoScoreError("the network has no nonlinearity")
    if bool((agreed.triu(1) == units).any()):
        raise NoScoreError("two pictures of the batch have the same code, so the determinant is 0")
    sign, logarithm = torch.linalg.slogdet(agreed)
    if float(sign) <= 0:
        raise NoScoreError("the determinant is 0")
    return float(logarithm)


def jacob_cov(architecture: Architecture, probe: Probe) -> float:
    """How little the gradients of two pictures resemble each other (Mellor et al., version 1 of arXiv 2006.04647).

    -sum(log(v + k) + 1 / (v + k)) over the eigenvalues v of the correlations between the rows of the Jacobian: the
    gradient of the sum of a picture's scores with respect to that picture.
    """
    network = _network(architecture, probe)
    images = probe.images.clone().requires_grad_()
    network(images).sum().backward()
    assert images.grad is not None
    if len(images) < 2:
        raise NoScoreError("one picture alone has nothing to resemble")
    correlations = torch.corrcoef(images.grad.flatten(1).double())
    if not bool(correlations.isfinite().all()):
        raise NoScoreError("a picture has the same gradient in every pixel, and so no correlation")
    values = torch.linalg.eigvalsh(correlations) + JITTER
    return -float((values.log() + 1 / values).sum())


PROXIES: dict[str, Proxy] = {
    "params": lambda architecture, probe: float(architecture.cost.params),
    "macs": lambda architecture, probe: float(architecture.cost.macs),
    "grad_norm": grad_norm,
    "synflow": synflow,
    "naswot": naswot,
    "jacob_cov": jacob_cov,
}


def _network(architecture: Architecture, probe: Probe) -> nn.Sequential:
    """The untrained network where the pictures lie, in training mode: batch norm sees the batch."""
    return build(architecture, seed=probe.seed).to(probe.images.device).train()


def _weighted(network: nn.Module) -> Iterator[nn.Conv2d | nn.Linear]:
    return (layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear))


def _gradient(layer: nn.Conv2d | nn.Linear) -> Tensor:
    return torch.zeros_like(layer.weight) if layer.weight.grad is None else layer.weight.grad


def _leave_out_norms(network: nn.Module) -> None:
    """Put nothing in their place; what overwrote their output would now overwrite their input, and may not."""
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if isinstance(child, _BatchNorm | LocalContrastModule):
                setattr(parent, name, nn.Identity())
            elif isinstance(child, nn.ReLU):
                child.inplace = False
