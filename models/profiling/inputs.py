"""The inputs of a profiled forward pass, and what to do about a network that refuses them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from ...spaces.parameters.user_code import described

Example = Tensor | Sequence[Any] | Mapping[str, Any]


@dataclass(frozen=True)
class Inputs:
    """The arguments of a forward pass; ``shape`` is that of the first tensor, without the batch."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def tensors(self) -> list[Tensor]:
        """The tensors in the arguments."""
        return [leaf for leaf in tree_leaves((self.args, dict(self.kwargs))) if isinstance(leaf, Tensor)]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the first tensor, without the batch; a list of images has no batch dimension."""
        first = self.tensors[0].shape
        return tuple(first if self.args and isinstance(self.args[0], list) else first[1:])

    def on_meta(self) -> "Inputs":
        """Return the inputs on the meta device."""
        return self._converted(lambda tensor: tensor.to("meta"))

    def with_values(self, device: torch.device) -> "Inputs":
        """Return copies of the inputs on ``device``; tensors without values get random ones.

        The seed is fixed, so that a network whose path depends on values takes the same path each time.
        """
        generator = torch.Generator().manual_seed(0)

        def convert(tensor: Tensor) -> Tensor:
            if not tensor.is_meta:
                return tensor.detach().clone().to(device)
            if not tensor.is_floating_point():
                return torch.zeros_like(tensor, device=device)
            return torch.rand(tensor.shape, generator=generator).to(device, tensor.dtype)

        return self._converted(convert)

    def describe(self) -> str:
        """Return the shapes and types of the tensors as text."""
        shapes = [f"{tuple(tensor.shape)} of {str(tensor.dtype).removeprefix('torch.')}" for tensor in self.tensors]
        return ", ".join(shapes[:4]) + (", ..." if len(shapes) > 4 else "")

    def _converted(self, convert: Callable[[Tensor], Tensor]) -> "Inputs":
        args, kwargs = tree_map(lambda x: convert(x) if isinstance(x, Tensor) else x, (self.args, dict(self.kwargs)))
        return Inputs(args, kwargs)


def inputs_of(module: nn.Module, shape: Sequence[int] | None, example: Example | None) -> Inputs:
    """Return ``example`` as arguments, or one input of ``shape`` in the precision of the module's weights.

    Raises ``ValueError`` unless exactly one of the two is given, and for an example without tensors.
    """
    if (shape is None) == (example is None):
        raise ValueError(
            "a profile needs input_shape, as in profile(module, (3, 224, 224)), or inputs, as in "
            f"profile(module, inputs=(tokens, mask)), but got {'neither' if shape is None else 'both'}; pass one"
        )
    if shape is not None:
        return Inputs((torch.empty(1, *shape, dtype=_precision(module), device="meta"),))
    if isinstance(example, Mapping):
        inputs = Inputs((), example)
    else:
        inputs = Inputs((example,) if isinstance(example, Tensor) else tuple(example or ()))
    if not inputs.tensors:
        raise ValueError(
            f"inputs must hold at least one tensor, but got {type(example).__name__} without any; "
            "pass the tensors of one forward pass"
        )
    return inputs


def refusal(module: nn.Module, inputs: Inputs, error: Exception) -> ValueError:
    """Return an error that says what to do about ``module``, which failed on ``inputs`` with ``error``."""
    return ValueError(
        f"a network must take the inputs it is profiled on, {inputs.describe()}, but {type(module).__name__} failed: "
        f"{described(error)[:300].rstrip('.')}; {_cure(module, inputs, error)}"
    )


def _precision(module: nn.Module) -> torch.dtype:
    """Return the type of the module's first weight that is a floating-point or complex number, or the default."""
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.is_floating_point() or tensor.is_complex():
            return tensor.dtype
    return torch.get_default_dtype()


def _cure(module: nn.Module, inputs: Inputs, error: Exception) -> str:
    message = str(error)
    if isinstance(error, TypeError) and "positional argument" in message:
        return "pass every input, as in profile(module, inputs=(images, tokens))"
    if not any(_is_integer(tensor) for tensor in inputs.tensors) and _wants_integers(module, message):
        return "pass integers, as in profile(module, inputs=torch.zeros(1, 16, dtype=torch.int64))"
    types = {parameter.dtype for parameter in module.parameters()}
    if len(types) > 1 and "dtype" in message.lower():
        return "give all parameters one type, as module.float() does"
    if "quantized" in message.lower():
        return "profile the network before it is quantised; it has the same multiply-accumulates"
    if (size := _own_size(module)) and size != inputs.shape:
        return f"pass the shape that the network is built for, {size}"
    return "pass the network's input shape, without the batch"


def _is_integer(tensor: Tensor) -> bool:
    return not tensor.is_floating_point() and not tensor.is_complex()


def _wants_integers(module: nn.Module, message: str) -> bool:
    asks = any(word in message for word in ("indices", "Long", "must be integer", "integral"))
    return asks or ("embedding" in message and any(isinstance(m, nn.Embedding) for m in module.modules()))


def _own_size(module: nn.Module) -> tuple[int, ...] | None:
    """Return the input shape that timm and torchvision record in some networks."""
    published = getattr(module, "pretrained_cfg", None)
    if isinstance(published, Mapping) and published.get("input_size"):
        return tuple(published["input_size"])
    size = getattr(module, "image_size", None)
    return (3, size, size) if isinstance(size, int) else None
