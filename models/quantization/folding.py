"""Batch norms folded into the convolution or linear layer before them, as the runtimes of devices do."""

from copy import deepcopy

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from ..networks.modules import BranchesModule


def folded(module: nn.Module) -> nn.Module:
    """Return a copy of ``module`` in evaluation mode, with each batch norm folded into the weighted layer before it.

    A batch norm that does not come directly after a convolution or a linear layer stays.
    """
    if isinstance(module, BranchesModule):
        return BranchesModule([folded(branch) for branch in module.branches], module.join).eval()
    if not isinstance(module, nn.Sequential):
        return deepcopy(module).eval()
    chain: list[nn.Module] = []
    for part in _flat(module):
        before = chain[-1] if chain else None
        norm = deepcopy(part).eval()
        if isinstance(norm, nn.BatchNorm2d) and isinstance(before, nn.Conv2d):
            chain[-1] = fuse_conv_bn_eval(before, norm)
        elif isinstance(norm, nn.BatchNorm1d) and isinstance(before, nn.Linear):
            chain[-1] = fuse_linear_bn_eval(before, norm)
        else:
            chain.append(folded(part))
    return nn.Sequential(*chain).eval()


def _flat(module: nn.Module) -> list[nn.Module]:
    assert isinstance(module, nn.Sequential)
    return [leaf for part in module for leaf in (_flat(part) if isinstance(part, nn.Sequential) else [part])]
