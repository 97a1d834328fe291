"""Drop path (stochastic depth): training leaves out the residual branch of random blocks, drawn for each image.

The rate rises with the depth: block l of L residual blocks is left out with probability ``rate * l / L`` (Huang et al.
2016, arXiv 1603.09382, equation 4). Networks of timm have timm's own schedule, from 0 to ``rate``.
"""

import warnings

import torch
from torch import nn
from torchvision.ops import StochasticDepth

from .depth import is_timm
from .modules import BranchesModule


def set_drop_path(network: nn.Module, rate: float) -> int:
    """Let training drop residual branches of ``network``, and return how many; 0 if it has none: no effect.

    The tensors of the network, and their names, do not change. Networks of torchvision have drop path only where
    torchvision has it: in EfficientNet, ConvNeXt, Swin and MaxViT, but not in ResNet.
    """
    by_timm = [module for module in network.modules() if is_timm(module)]
    n_timm = sum(_drop_paths_of_timm(module, rate) for module in by_timm)
    places = [module for module in network.modules() if isinstance(module, StochasticDepth) or _is_residual(module)]
    for depth, module in enumerate(places, start=1):
        probability = rate * depth / len(places)
        if isinstance(module, StochasticDepth):
            module.p = probability
        else:
            _residual_branch(module).append(StochasticDepth(probability, "row"))
    return n_timm + len(places)


def switch_off_drop_path(network: nn.Module) -> None:
    """Let training use all residual branches of ``network``."""
    for module in network.modules():
        if isinstance(module, StochasticDepth):
            module.p = 0.0
        elif hasattr(module, "drop_prob"):  # DropPath of timm, which may not be installed
            module.drop_prob = 0.0  # type: ignore[assignment]


def _is_residual(module: nn.Module) -> bool:
    return isinstance(module, BranchesModule) and module.join == "add"


def _residual_branch(module: nn.Module) -> nn.Sequential:
    """Return the branch with the most layers; the other one is the shortcut."""
    assert isinstance(module, BranchesModule)
    branch = max(module.branches, key=lambda branch: len(list(branch.modules())))
    assert isinstance(branch, nn.Sequential)
    return branch


def _drop_paths_of_timm(network: nn.Module, rate: float) -> int:
    """Copy the drop paths that timm builds for ``rate`` into ``network``, and return their number."""
    import timm
    from timm.layers.drop import DropPath

    config: dict[str, str] = network.pretrained_cfg  # type: ignore[assignment]
    try:
        with warnings.catch_warnings(), torch.device("meta"):
            warnings.simplefilter("ignore")  # deprecation notices inside timm
            reference = timm.create_model(config["architecture"], pretrained=False, drop_path_rate=rate)
    except TypeError:  # the network does not have this argument
        return 0
    paths = {path: module for path, module in reference.named_modules() if isinstance(module, DropPath)}
    for path, module in paths.items():
        parent, _, name = path.rpartition(".")
        setattr(network.get_submodule(parent), name, DropPath(module.drop_prob))
    return len(paths)
