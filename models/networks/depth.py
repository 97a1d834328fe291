"""The parts of a network in their order from the input to the scores: layers, stages, and the head.

A *layer* is the smallest part that has a learning rate of its own, a *stage* the smallest part that can be frozen. timm
publishes both for its networks. Elsewhere a layer is a module that is not a plain sequence, such as a convolution or a
residual block, and a stage is a block of an architecture, or a child of a network of torchvision.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.nn import Parameter
from torch.nn.modules.conv import _ConvNd

from .adapters import weights_of
from .modules import BranchesModule

FEW_CHILDREN = 3  # a network with so few, such as features, norm and head, has its stages one level below


def layers_of(network: nn.Module) -> list[list[Parameter]]:
    """Return the parameters of each layer, from the input to the scores. Norms belong to the layer before them."""
    half = sum(parameter.numel() for parameter in network.parameters()) / 2
    return _with_weights(_layers(network, half), network)


def stages_of(network: nn.Module) -> list[list[Parameter]]:
    """Return the parameters of each stage, from the input to the scores; the head is part of the last one."""
    return _with_weights(_stages(_inside(network)), network)


def head_path(network: nn.Module) -> str:
    """Return the path of the head, the linear layer that computes the scores.

    Raises ``ValueError`` if the last layer with weights is not linear.
    """
    classifier = _timm_classifier(network)
    weighted = [(path, module) for path, module in network.named_modules() if module._parameters]
    if published := [path for path, module in weighted if module is classifier]:
        return str(published[0])
    if not weighted or not isinstance(weighted[-1][1], nn.Linear):
        found = f"it is {type(weighted[-1][1]).__name__}" if weighted else "there is none"
        raise ValueError(
            f"the last layer with weights must be a linear layer (the head), but {found}; set recipe.train to 'all', "
            "or end the network with a linear layer"
        )
    return str(weighted[-1][0])


def head_of(network: nn.Module) -> nn.Linear:
    """Return the head of ``network``; see :func:`head_path`."""
    head = network.get_submodule(head_path(network))
    assert isinstance(head, nn.Linear)
    return head


@contextmanager
def inputs_of(layer: nn.Module) -> Iterator[list[Tensor]]:
    """Yield a list that gets the first argument of each forward pass of ``layer``."""
    inputs: list[Tensor] = []
    hook = layer.register_forward_pre_hook(lambda layer, arguments: inputs.append(arguments[0]))
    try:
        yield inputs
    finally:
        hook.remove()


def is_timm(module: nn.Module) -> bool:
    """Return whether ``module`` is a network of timm, which publishes its layers and stages."""
    return callable(getattr(module, "group_matcher", None))


def _timm_classifier(network: nn.Module) -> nn.Module | None:
    """Return the classifier that a network of timm publishes, if it is the only one; None for other networks."""
    inside = _inside(network)
    classifier = inside.get_classifier() if is_timm(inside) else None  # type: ignore[operator]
    return classifier if isinstance(classifier, nn.Linear) else None


def _inside(module: nn.Module) -> nn.Module:
    """Return the innermost module that has all parameters of ``module``."""
    children = _weighted_children(module)
    alone = len(children) == 1 and not module._parameters and not is_timm(module)
    return _inside(children[0]) if alone else module


def _weighted_children(module: nn.Module) -> list[nn.Module]:
    return [child for child in module.children() if next(child.parameters(), None) is not None]


def _layers(module: nn.Module, half: float) -> Iterator[list[Parameter]]:
    """Yield the layers of ``module``; ``half`` is half of the number of parameters of the network."""
    inside = _inside(module)
    if is_timm(inside):
        yield from _groups_of_timm(inside, coarse=False)
    elif isinstance(module, nn.Sequential) or _is_network(inside, half):
        divided = module if isinstance(module, nn.Sequential) else inside
        if divided._parameters:
            yield list(divided.parameters(recurse=False))
        for child in _weighted_children(divided):
            yield from _layers(child, half)
    else:
        yield list(module.parameters())


def _is_network(module: nn.Module, half: float) -> bool:
    """Return whether ``module`` is divided into layers: it has most of the parameters, in an order, not in branches.

    A convolution or linear layer is not divided, although an adapter makes it a module with children.
    """
    is_large = sum(parameter.numel() for parameter in module.parameters()) > half
    return (
        is_large and bool(_weighted_children(module)) and not isinstance(module, BranchesModule | _ConvNd | nn.Linear)
    )


def _stages(network: nn.Module) -> Iterator[list[Parameter]]:
    if is_timm(network):
        yield from _groups_of_timm(network, coarse=True)
        return
    children = _weighted_children(network)
    if network._parameters or not children:
        yield list(network.parameters(recurse=False))
    for child in children:
        inside = _inside(child)
        few = len(children) <= FEW_CHILDREN and not isinstance(network, nn.Sequential)
        if (few and isinstance(inside, nn.Sequential)) or is_timm(inside):
            yield from _stages(inside)
        else:
            yield list(child.parameters())


def _groups_of_timm(network: Any, *, coarse: bool) -> Iterator[list[Parameter]]:
    from timm.models import group_parameters

    names = group_parameters(network, network.group_matcher(coarse=coarse))
    parameters = dict(network.named_parameters())
    for group in sorted(names):
        yield [parameters[name] for name in names[group]]


def _with_weights(groups: Iterator[list[Parameter]], network: nn.Module) -> list[list[Parameter]]:
    """Join groups without weights of convolutions or linear layers, such as norms, to the group before them."""
    weights = {id(weight) for weight in weights_of(network)}
    joined: list[list[Parameter]] = []
    for group in groups:
        if joined and not any(id(parameter) in weights for parameter in group):
            joined[-1] += group
        else:
            joined.append(group)
    return joined
