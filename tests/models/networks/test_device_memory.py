"""RAM and flash in closed form equal those computed from the graph of the built network, by another way.

The graph is that of ``torch.fx``: readers of each tensor are its users, sizes come from a forward pass, and constants
are the parameters of the modules. The rules are those of int8 kernels in ``spaces/architectures/runtimes.py``.
"""

import operator
import random

import pytest
import torch
from torch import fx, nn
from torch.fx.passes.shape_prop import ShapeProp

from archsieve.models.networks import channel_modules, modules
from archsieve.models.networks.build import build
from archsieve.spaces.architectures.device_cost import DeviceCost, device_cost
from archsieve.spaces.constrained.constrained_space import ConstrainedSpace
from archsieve.spaces.constrained.sampling import sample
from archsieve.spaces.search_space.named import NAMED_SPACES, named_space

ONE_KERNEL = (
    *(modules.PadShortcutModule, modules.GlobalPoolingModule, channel_modules.LayerNormModule),
    *(channel_modules.LayerScaleModule, channel_modules.ChannelMeanModule, channel_modules.ChannelShuffleModule),
    *(channel_modules.ChannelSliceModule, nn.LocalResponseNorm, modules.ResizeModule),
)
WEIGHTED = (nn.Conv2d, nn.Linear)
NORMS = (nn.BatchNorm2d, nn.BatchNorm1d)
CLAMPS = (nn.ReLU, nn.ReLU6)


class Tracer(fx.Tracer):
    def is_leaf_module(self, module, name):
        return isinstance(module, ONE_KERNEL) or super().is_leaf_module(module, name)


def measured(network, shape):
    """Return the int8 cost of the graph of ``network``."""
    graph = Tracer().trace(network)
    traced = fx.GraphModule(network, graph)
    ShapeProp(traced).propagate(torch.zeros(1, *shape, device="meta"))
    parts = dict(traced.named_modules())

    def part(node):
        return parts[node.target] if node.op == "call_module" else None

    source = {}  # node -> the node that owns its memory; itself if it is a kernel
    kernels, flash = [], 0
    for node in graph.nodes:
        if node.op == "output":
            continue
        before = source.get(node.args[0]) if node.args and isinstance(node.args[0], fx.Node) else None
        module = part(node)
        only_reader = before is not None and len(node.args[0].users) == 1
        if isinstance(module, nn.Flatten | nn.Identity):
            source[node] = before
            continue
        if isinstance(module, NORMS) and only_reader and isinstance(part(node.args[0]), WEIGHTED):
            source[node] = before
            continue
        if isinstance(module, CLAMPS) and only_reader and before.op != "placeholder":
            source[node] = before
            continue
        source[node] = node
        kernels += [] if node.op == "placeholder" else [node]
        flash += constants(module, node)
    inputs = {node: {source[n] for n in node.all_input_nodes} for node in kernels}
    alive = {
        node: [i for i, kernel in enumerate(kernels) if kernel is node or node in inputs[kernel]] for node in source
    }
    live = [
        sum(
            node.meta["tensor_meta"].shape.numel()
            for node in alive
            if source[node] is node and born(node, alive) <= i <= max(alive[node])
        )
        for i in range(len(kernels))
    ]
    return DeviceCost(max(live), flash)


def born(node, alive):
    return 0 if node.op == "placeholder" else min(alive[node])


def constants(module, node):
    """Return the bytes of a kernel: one for a weight, 12 for an output channel, 256 for a table."""
    if isinstance(module, WEIGHTED):
        return module.weight.numel() + 12 * module.weight.shape[0]
    if isinstance(module, NORMS):
        return 13 * module.num_features
    if isinstance(module, nn.PReLU | nn.LayerNorm | channel_modules.LayerScaleModule):
        return 4 * sum(parameter.numel() for parameter in module.parameters())
    tables = (nn.SiLU, nn.GELU, nn.Hardswish, nn.Hardsigmoid, nn.Sigmoid, nn.Tanh, nn.ELU, nn.LeakyReLU)
    if isinstance(module, tables):
        return 256
    assert module is None or isinstance(module, (*ONE_KERNEL, *CLAMPS, nn.MaxPool2d, nn.AvgPool2d)), module
    assert (
        module is not None or node.op == "placeholder" or node.target in (torch.cat, operator.add, torch.add, torch.mul)
    )
    return 0


def check(name, n, seed, image_size=None):
    space = named_space(name, input_shape=(3, 64, 64), classes=10, image_size=image_size)
    for architecture in sample(ConstrainedSpace(space), n, random.Random(seed)):
        network = build(architecture, device="meta").eval()
        assert measured(network, architecture.input_shape) == device_cost(architecture, "int8"), architecture


@pytest.mark.parametrize("name", ["mixed", "inception-space", "mobile-space"])
def test_equals_the_graph_of_the_built_network(name):
    check(name, 10, seed=1)


def test_resizing_in_front_of_a_network_is_one_operation():
    check("mobile-space", 10, seed=3, image_size=(32, 48, 64, 128))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMED_SPACES)
def test_many_equal_the_graph_of_the_built_network(name):
    check(name, 1_000, seed=2)
