"""Compare predicted RAM and flash with the memory plan of ExecuTorch and the report of BakeNN.

    pip install 'archsieve[devices]'
    python benchmarks/device_memory.py --networks 20

Batch norms are folded first. For float32 the largest sum of live tensors in ExecuTorch's plan and the bytes of its
constants must be equal to the prediction. For int8 the live tensors of each kernel of BakeNN, and the bytes of the
constants that it writes, must be: its input and output are not in the arena, therefore they are added. BakeNN does not
know every layer; such networks are counted as skipped, with its reason.
"""

import argparse
import logging
import random
import tempfile
import warnings
from collections import Counter
from typing import Any

import torch
from torch import nn

from archsieve.models.networks.build import build
from archsieve.models.quantization.folding import folded
from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.architectures.device_cost import DeviceCost, device_cost
from archsieve.spaces.constrained.constrained_space import ConstrainedSpace
from archsieve.spaces.constrained.sampling import sample
from archsieve.spaces.search_space.named import NAMED_SPACES, named_space

SIDE = 64  # pixels of the images: AlexNet needs as many, and with more a plan takes minutes


def trained(architecture: Architecture) -> nn.Module:
    """Return a network with random numbers everywhere: equal constants, such as zeros, would be stored once."""
    network = build(architecture, seed=0).eval()
    torch.manual_seed(0)
    for tensor in (*network.parameters(), *network.buffers()):
        if tensor.is_floating_point():
            tensor.data = torch.rand_like(tensor) + 0.1  # also variances, which are above 0
    return folded(network)


def executorch_cost(network: nn.Module, images: torch.Tensor) -> DeviceCost:
    """Return the largest sum of live tensors in ExecuTorch's plan of memory, and the bytes of its float constants."""
    from executorch.exir import ExecutorchBackendConfig, memory, to_edge
    from executorch.exir.schema import Tensor
    from executorch.exir.tensor import TensorSpec
    from torch.utils._pytree import tree_leaves

    program = to_edge(torch.export.export(network, (images,))).to_executorch(ExecutorchBackendConfig())
    specs: dict[int, Any] = {}
    for node in program.exported_program().graph_module.graph.nodes:
        if node.target is memory.view:  # the same memory as its input
            continue
        for spec in tree_leaves(node.meta.get("spec")):
            if isinstance(spec, TensorSpec) and not spec.const and spec.lifetime[0] is not None:
                specs[id(spec)] = spec
    changes = Counter[int]()
    for spec in specs.values():
        changes[spec.lifetime[0]] += spec.allocated_memory
        changes[spec.lifetime[1] + 1] -= spec.allocated_memory
    live = peak = 0
    for at in sorted(changes):
        live += changes[at]
        peak = max(peak, live)
    content = program.executorch_program
    tensors = [value.val for value in content.execution_plan[0].values if isinstance(value.val, Tensor)]
    # a tensor without dimensions is a number in the code, such as the 3 of hardswish, or a batch norm's counter
    stored = {tensor.data_buffer_idx for tensor in tensors if tensor.data_buffer_idx and tensor.sizes}
    return DeviceCost(peak, sum(len(content.constant_buffer[index].storage) for index in stored))


def bakenn_cost(network: nn.Module, images: torch.Tensor) -> DeviceCost:
    """Return the largest sum of live tensors in the C program of BakeNN, and the bytes of its constants."""
    from bakenn.compiler import compile_torch_ptq

    with tempfile.TemporaryDirectory() as folder:
        compiled = compile_torch_ptq(network, images, [torch.rand_like(images) for _ in range(2)], folder)
    plan, report = compiled.plan, compiled.memory_report
    last_read = max(i for i, step in enumerate(plan.steps) if set(step.inputs) & set(plan.inputs))
    live = [
        step.live_activation_payload_bytes
        + report.input_bytes * (step.index <= last_read)
        + report.output_bytes * (step.index == len(plan.steps) - 1)
        for step in report.steps
    ]
    return DeviceCost(max(live), report.emitted_constant_payload_bytes)


MEASURED = {"float32": executorch_cost, "int8": bakenn_cost}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=20, help="random networks of each space")
    parser.add_argument("--spaces", nargs="*", default=list(NAMED_SPACES))
    parser.add_argument("--precisions", nargs="*", default=list(MEASURED))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    print("| space | precision | networks | equal RAM | equal flash | skipped |\n|---|---|---|---|---|---|")
    for name in options.spaces:
        space = named_space(name, input_shape=(3, SIDE, SIDE), classes=10)
        drawn = sample(ConstrainedSpace(space), options.networks, random.Random(options.seed))
        for precision in options.precisions:
            _print_row(name, precision, drawn)


def _print_row(name: str, precision: str, architectures: list[Architecture]) -> None:
    equal_ram = equal_flash = 0
    skipped = Counter[str]()
    for architecture in architectures:
        network = trained(architecture)
        try:
            measured = MEASURED[precision](network, torch.rand(1, *architecture.input_shape))
        except Exception as error:  # each exporter has its own errors
            skipped[f"{type(error).__name__}: {str(error).splitlines()[0][:100]}"] += 1
            continue
        predicted = device_cost(architecture, precision)
        equal_ram += measured.ram_bytes == predicted.ram_bytes
        equal_flash += measured.flash_bytes == predicted.flash_bytes
        if measured != predicted:
            print(f"different: {architecture}: predicted {predicted}, measured {measured}")
    reasons = "; ".join(f"{n} {reason}" for reason, n in skipped.items()) or "0"
    print(f"| {name} | {precision} | {len(architectures)} | {equal_ram} | {equal_flash} | {reasons} |", flush=True)


if __name__ == "__main__":
    main()
