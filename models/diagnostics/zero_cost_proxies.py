"""Zero-cost proxies: scores of untrained networks, each from one batch of training images.

Shapes: N images (N, C, H, W) of K classes. Every proxy builds a new network from the probe's seed, without dropout. The
result is a finite number, or the reason why there is none. To add a proxy, write a function and a row of ``PROXIES``.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ...spaces.architectures.architecture import Architecture
from ...spaces.parameters.lookup import look_up
from ..data.dataset import Device, ImageData, in_unit_range
from ..metrics.label_losses import label_loss
from ..networks.build import ACTIVATION_MODULES, build
from ..networks.modules import LocalContrastModule

N_IMAGES = 64
JITTER = 1e-5  # added to the eigenvalues before the logarithm, as in Mellor et al. (version 1)
_BACKBONE_ACTIVATIONS = (nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SiLU, nn.GELU, nn.Hardswish)
_ACTIVATIONS = tuple({*(type(make(1)) for make in ACTIVATION_MODULES.values()), *_BACKBONE_ACTIVATIONS})


class NoScoreError(ValueError):
    """A proxy is not defined for this network; the message is the reason."""


@dataclass(frozen=True, eq=False)
class Probe:
    """The input of every proxy: normalised training ``images`` (N, C, H, W), their ``labels``, the weights' seed."""

    images: Tensor
    labels: Tensor
    seed: int

    def to(self, device: Device) -> "Probe":
        """Return a copy of the probe on ``device``."""
        return Probe(self.images.to(device), self.labels.to(device), self.seed)


Proxy = Callable[[Architecture, Probe], float]


def probe(data: ImageData, seed: int, n_images: int = N_IMAGES) -> Probe:
    """Return a probe of up to ``n_images`` training images drawn with ``seed``.

    Validation and test images are not used: a proxy selects trials, so it must not see them.
    """
    order = torch.randperm(len(data.train), generator=torch.Generator().manual_seed(seed))
    batch = data.train.take(order[:n_images].to(data.train.labels.device))
    return Probe(data.normalise(in_unit_range(batch.images)), batch.labels, seed)


def proxy_scores(names: Iterable[str], architecture: Architecture, probe: Probe) -> dict[str, float | str]:
    """Return for each proxy a finite score of ``architecture``, or the reason why there is none, as text.

    Raises ``ValueError`` for the name of an unknown proxy.
    """
    proxies = {name: look_up(PROXIES, name, "proxy") for name in names}
    return {name: _score_or_reason(proxy, architecture, probe) for name, proxy in proxies.items()}


def _score_or_reason(proxy: Proxy, architecture: Architecture, probe: Probe) -> float | str:
    try:
        value = proxy(architecture, probe)
    except (ValueError, RuntimeError) as error:  # a proxy is optional, so its failure must not fail the trial
        return f"{error}" or type(error).__name__
    return value if math.isfinite(value) else f"the score is {value}"


def grad_norm(architecture: Architecture, probe: Probe) -> float:
    """Return the sum over convolutions and linear layers of the norm of the loss's gradient (arXiv 2101.08134)."""
    network = _network(architecture, probe)
    label_loss(network(probe.images), probe.labels).backward()  # type: ignore[no-untyped-call]
    return float(sum(_gradient(layer).norm() for layer in _weighted(network)))


def synflow(architecture: Architecture, probe: Probe) -> float:
    """Return the logarithm of the sum of |theta * dR/dtheta| (Tanaka et al. 2020, arXiv 2006.05467); uses no data.

    R is the sum of the scores of one image of ones in a network with absolute weights. Batch norm is removed and the
    computation is in float64, as in Abdelfattah et al. 2021 (arXiv 2101.08134). Two changes are ours: the logarithm,
    which keeps the ranking, and the removal of contrast normalisation, which maps a constant image to zero.
    """
    network = _network(architecture, probe).double()
    _remove_norms(network)
    with torch.no_grad():
        for weights in network.parameters():
            weights.abs_()
    network(torch.ones_like(probe.images[:1], dtype=torch.float64)).sum().backward()
    total = float(sum((layer.weight.detach() * _gradient(layer)).abs().sum() for layer in _weighted(network)))
    if total <= 0:
        raise NoScoreError(f"the logarithm needs a sum above 0, but it is {total}")
    return math.log(total)


def naswot(architecture: Architecture, probe: Probe) -> float:
    """Return log |K|, K[i, j] the number of units with the same code for images i and j (arXiv 2006.04647).

    The code of a unit is whether the input of its nonlinearity is above 0 (Mellor et al.).
    """
    network = _network(architecture, probe)
    agreement = torch.zeros(len(probe.images), len(probe.images), dtype=torch.float64, device=probe.images.device)
    units = 0

    def add_agreement(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        nonlocal agreement, units
        on = (inputs[0] > 0).flatten(1).double()
        agreement += on @ on.T + (1 - on) @ (1 - on).T
        units += on.shape[1]

    for layer in network.modules():
        if isinstance(layer, _ACTIVATIONS):
            layer.register_forward_pre_hook(add_agreement)
    with torch.no_grad():
        network(probe.images)
    if not units:
        raise NoScoreError("the network has no nonlinearity")
    if bool((agreement.triu(1) == units).any()):
        raise NoScoreError("two images of the batch have the same code, so the determinant is 0")
    sign, logarithm = torch.linalg.slogdet(agreement)
    if float(sign) <= 0:
        raise NoScoreError("the determinant is 0")
    return float(logarithm)


def jacob_cov(architecture: Architecture, probe: Probe) -> float:
    """Return a score that is high if the gradients of different images correlate little (Mellor et al.).

    The score is -sum(log(v + k) + 1 / (v + k)) over the eigenvalues v of the correlation matrix of the Jacobian's rows.
    A row is the gradient of the sum of an image's scores with respect to that image (version 1 of arXiv 2006.04647).
    """
    network = _network(architecture, probe)
    images = probe.images.clone().requires_grad_()
    network(images).sum().backward()
    assert images.grad is not None
    if len(images) < 2:
        raise NoScoreError("a correlation needs at least two images")
    correlations = torch.corrcoef(images.grad.flatten(1).double())
    if not bool(correlations.isfinite().all()):
        raise NoScoreError("an image has the same gradient in every pixel, so its correlation is undefined")
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
    """Return the untrained network on the device of the images, in training mode: batch norm uses batch statistics."""
    return build(architecture, seed=probe.seed).to(probe.images.device).train()


def _weighted(network: nn.Module) -> Iterator[nn.Conv2d | nn.Linear]:
    return (layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear))


def _gradient(layer: nn.Conv2d | nn.Linear) -> Tensor:
    return torch.zeros_like(layer.weight) if layer.weight.grad is None else layer.weight.grad


def _remove_norms(network: nn.Module) -> None:
    """Replace batch norm, layer norm and contrast normalisation by identities.

    A ReLU that overwrote the output of a norm in place would now overwrite the input, which autograd still needs.
    ReLU6 becomes ReLU: without norms, activations grow beyond its bound, where its gradient is zero.
    """
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if isinstance(child, _BatchNorm | nn.LayerNorm | LocalContrastModule):
                setattr(parent, name, nn.Identity())
            elif isinstance(child, nn.ReLU | nn.ReLU6):
                setattr(parent, name, nn.ReLU())
