"""Forms of a trained network: what it puts out for images in [0, 1], normalised inside.

Shapes: N images (N, C, H, W), K classes, F features.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from ...spaces.blocks import layers
from .classifier import ImageModel


class Normalised(nn.Module):
    """``network`` behind the subtraction of the mean and the division by the deviation of the training pixels."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", mean.view(-1, 1, 1).clone())
        self.register_buffer("std", std.view(-1, 1, 1).clone())

    def forward(self, images: Tensor) -> Tensor:
        found: Tensor = self.network((images - self.mean) / self.std)
        return found


def classifier(model: ImageModel) -> nn.Module:
    """Scores (N, K)."""
    return _normalised(model, model.network)


def features(model: ImageModel) -> nn.Module:
    """What the last linear layer reads: (N, F)."""
    *blocks, head = model.network
    assert isinstance(head, nn.Sequential)
    return _normalised(model, nn.Sequential(*blocks, *list(head)[:-1]))


def fully_convolutional(model: ImageModel) -> nn.Module:
    """A map of scores (N, K, H', W'): 1 x 1 at the training size, with the classifier's scores; more on larger images.

    Linear layers become convolutions with the same weights, the first one as large as its input, and a global average
    one over windows of the size that it averaged (Sermanet et al. 2014, arXiv 1312.6229).
    """
    return _normalised(model, nn.Sequential(*_convolved(model)))


FORMS: dict[str, Callable[[ImageModel], nn.Module]] = {
    "classifier": classifier,
    "features": features,
    "fully-convolutional": fully_convolutional,
}


def _normalised(model: ImageModel, network: nn.Module) -> nn.Module:
    return Normalised(network, model.mean, model.std).eval()


def _convolved(model: ImageModel) -> Iterator[nn.Module]:
    window = (1, 1)  # of the picture behind what is flat already
    for placed, chain in zip(model.architecture.walk(), model.network, strict=True):
        shape = placed.in_shape
        assert isinstance(chain, nn.Sequential)
        for layer, module in zip(placed.layers, chain, strict=True):
            if isinstance(layer, layers.GlobalPooling):
                yield nn.AvgPool2d((shape[1], shape[2]), stride=1)
            elif isinstance(layer, layers.Flatten):
                window = (shape[1], shape[2]) if len(shape) == 3 else window
            elif isinstance(module, nn.Linear):
                yield _as_convolution(module, window)
                window = (1, 1)
            elif isinstance(module, nn.BatchNorm1d):
                yield _in_two_dimensions(module)
            else:
                yield module
            shape = layer.out_shape(shape)


def _as_convolution(linear: nn.Linear, window: tuple[int, int]) -> nn.Conv2d:
    """The linear layer as a convolution over a window of its input."""
    channels = linear.in_features // (window[0] * window[1])
    found = nn.Conv2d(channels, linear.out_features, window, bias=linear.bias is not None)
    with torch.no_grad():
        found.weight.copy_(linear.weight.view(linear.out_features, channels, *window))
        if linear.bias is not None and found.bias is not None:
            found.bias.copy_(linear.bias)
    return found


def _in_two_dimensions(norm: nn.BatchNorm1d) -> nn.BatchNorm2d:
    found = nn.BatchNorm2d(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
    found.load_state_dict(norm.state_dict())
    return found
