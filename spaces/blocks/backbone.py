"""The backbone block: a whole network of timm or torchvision as one layer, with its measured cost as fields."""

import re
from dataclasses import dataclass, field
from typing import ClassVar

from ..parameters.constraints import Constraint, non_negative_int, positive_int
from .base import Shape, ShapeError
from .cost import Cost
from .layers import Layer

NAME = Constraint(
    'the name of a network, as in "timm:resnet18" or "torchvision:vgg16"',
    lambda v: isinstance(v, str) and re.fullmatch(r"(timm|torchvision):[\w.-]+", v) is not None,
)
SHAPE = Constraint(
    "an input shape, as in (3, 224, 224)",
    lambda v: isinstance(v, tuple) and len(v) == 3 and all(map(positive_int.holds, v)),
)


@dataclass(frozen=True)
class Backbone(Layer):
    """The network ``name`` without its classifier: (C, H, W) -> (features,).

    Its cost has no closed form. ``measure_backbone`` of ``models/profiling/backbone_costs.py`` measures the cost on the
    meta device, for one input shape, and stores it in the fields of this block. Thus the cost is known without timm or
    torchvision.
    """

    name: str
    # repr=False also hides a field from the one-line text of an architecture: there the name is enough
    in_shape: Shape = field(repr=False)
    features: int = field(repr=False)
    params: int = field(repr=False)
    macs: int = field(repr=False)
    activations: int = field(repr=False)
    kept_bytes: int = field(repr=False)

    kind: ClassVar[str] = "backbone"
    constraints: ClassVar[dict[str, Constraint]] = {
        "name": NAME,
        "in_shape": SHAPE,
        "features": positive_int,
        **dict.fromkeys(("params", "macs", "activations", "kept_bytes"), non_negative_int),
    }

    def out_shape_and_cost(self, shape: Shape) -> tuple[Shape, Cost]:
        if shape != self.in_shape:
            raise ShapeError(
                f"the cost of a backbone is valid only for the input shape it was measured on, but {self.name} was "
                f"measured on {self.in_shape} and its input is {shape}; use measure_backbone({self.name!r}, {shape})"
            )
        return (self.features,), Cost(self.params, self.macs, self.activations, self.kept_bytes)
