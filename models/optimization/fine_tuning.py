"""Fine-tuning: which parts of a network are trained, in which epochs, and with which learning rates."""

from collections.abc import Iterable

from torch import nn
from torch.nn import Parameter

from ...spaces.recipes.recipe import NONE, Recipe
from ..networks.adapters import add_adapters
from ..networks.depth import head_of, layers_of, stages_of


class FineTuning:
    """The parts of ``network`` that ``recipe`` trains; the network is changed in place.

    The first ``frozen_stages`` stages are never trained, and with an adapter no weight except the head. With
    ``train = "head-then-all"`` only the head is trained in the first ``head_epochs`` epochs; the last epoch trains all.
    A part without trained parameters is in evaluation mode, so that its batch norm keeps its statistics.
    """

    def __init__(self, network: nn.Module, recipe: Recipe, seed: int) -> None:
        self.network = network
        freeze(network, recipe.frozen_stages)
        self.head_epochs = min(recipe.head_epochs, recipe.epochs - 1) if recipe.train == "head-then-all" else 0
        if recipe.adapter != NONE:
            add_adapters(network, head_of(network), rank=recipe.lora_rank, alpha=recipe.lora_alpha, seed=seed)
        head = {id(parameter) for parameter in head_of(network).parameters()} if self.head_epochs else set()
        self._body = [p for p in network.parameters() if p.requires_grad and id(p) not in head]

    def start_epoch(self, epoch: int) -> None:
        """Prepare the network, which is in training mode, for ``epoch``, counted from 0."""
        for parameter in self._body:
            parameter.requires_grad_(epoch >= self.head_epochs)
        evaluate_frozen(self.network)


def make_fine_tuning(network: nn.Module, recipe: Recipe, seed: int) -> FineTuning | None:
    """Return what ``recipe`` trains; None if that is the whole network in every epoch.

    Raises ``ValueError`` for a recipe with a head and a network without one.
    """
    whole = recipe.train == "all" and recipe.adapter == NONE and not recipe.frozen_stages
    # of a head there are no parts: it is the whole network that is trained
    return None if whole or recipe.train == "head" else FineTuning(network, recipe, seed)


def freeze(network: nn.Module, count: int) -> None:
    """Freeze the first ``count`` stages of ``network``; the head, in the last stage, is always trained."""
    if not count:
        return
    head = {id(parameter) for parameter in head_of(network).parameters()}
    for stage in stages_of(network)[:count]:
        for parameter in stage:
            parameter.requires_grad_(id(parameter) in head)


def evaluate_frozen(network: nn.Module) -> None:
    """Put the parts of ``network`` that have parameters, none of them trained, into evaluation mode."""
    for module in network.modules():
        parameters = list(module.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            module.eval()


def lr_scales(network: nn.Module, recipe: Recipe) -> dict[int, float]:
    """Return the factor on the learning rate of each parameter, by its id; empty if all factors are 1.

    Layer l of L has the factor ``layer_lr_decay ** (L - l)`` (Howard and Ruder 2018, arXiv 1801.06146), the head also
    ``head_lr_factor``.
    """
    if recipe.train == "head" or recipe.layer_lr_decay == recipe.head_lr_factor == 1:
        return {}
    layers = layers_of(network)
    scales = {
        id(parameter): recipe.layer_lr_decay ** (len(layers) - number)
        for number, layer in enumerate(layers, start=1)
        for parameter in layer
    }
    if recipe.head_lr_factor != 1:
        scales |= _scaled(head_of(network).parameters(), scales, recipe.head_lr_factor)
    return scales


def _scaled(parameters: Iterable[Parameter], scales: dict[int, float], factor: float) -> dict[int, float]:
    return {id(parameter): factor * scales[id(parameter)] for parameter in parameters}
