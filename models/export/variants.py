"""Export variants of a trained network: modules that take images in [0, 1] and normalise them inside.

Shapes: N images (N, C, H, W), K classes, F features.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from ...spaces.blocks import layers
from .classifier import ImageModel


class Normalised(nn.Module):
    """``network`` after normalisation: subtract the training pixels' mean and divide by their standard deviation.

    The outputs are divided by ``temperature``, so that their softmax, or sigmoid with several labels, is
    the calibrated probabilities.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: Tensor, std: Tensor, temperature: float = 1.0) -> None:
        super().__init__()
        self.network, self.temperature = network, temperature
        # buffers, so that they are part of the exported program
        self.register_buffer("mean", mean.view(-1, 1, 1).clone())
        self.register_buffer("std", std.view(-1, 1, 1).clone())

    def forward(self, images: Tensor) -> Tensor:
        outputs: Tensor = self.network((images - self.mean) / self.std)
        return outputs if self.temperature == 1 else outputs / self.temperature


def classifier(model: ImageModel) -> nn.Module:
    """Return the network itself: calibrated scores (N, K), whose softmax (or sigmoid) is the probabilities."""
    return _normalised(model, model.network, model.temperature)


def features(model: ImageModel) -> nn.Module:
    """Return the network without its last linear layer: features (N, F).

    Raises ``ValueError`` for a network whose classifier is a convolution.
    """
    *blocks, head = model.network  # the last block is the classifier head, which ends with a linear layer
    assert isinstance(head, nn.Sequential)
    if not isinstance(head[-1], nn.Linear):
        raise ValueError(
            "the form 'features' needs a network that ends with a linear layer, but this one ends with class maps; "
            "use the form 'classifier'"
        )
    return _normalised(model, nn.Sequential(*blocks, *list(head)[:-1]))


def fully_convolutional(model: ImageModel) -> nn.Module:
    """Return a network that outputs a map of calibrated scores (N, K, H', W').

    At the training size the map is 1 x 1 and equals the classifier's scores; it grows with the image. Linear layers
    become convolutions with the same weights, the kernel of the first one as large as its input map. Global average
    pooling becomes pooling over a window of the size that it averaged (Sermanet et al. 2014, arXiv 1312.6229).
    """
    return _normalised(model, nn.Sequential(*_convolutional_layers(model)), model.temperature)


# the options of ``archsieve export --form``
VARIANTS: dict[str, Callable[[ImageModel], nn.Module]] = {
    "classifier": classifier,
    "features": features,
    "fully-convolutional": fully_convolutional,
}


def _normalised(model: ImageModel, network: nn.Module, temperature: float = 1.0) -> nn.Module:
    return Normalised(network, model.mean, model.std, temperature).eval()


def _convolutional_layers(model: ImageModel) -> Iterator[nn.Module]:
    window = (1, 1)  # kernel of the next linear layer: the side of the map that a Flatten removed, else 1 x 1
    for placed, chain in zip(model.architecture.walk(), model.network, strict=True):
        shape = placed.in_shape
        assert isinstance(chain, nn.Sequential)
        # layers know the shapes that modules do not: the window of a linear layer is the shape before Flatten
        for layer, module in zip(placed.layers, chain, strict=True):
            if isinstance(layer, layers.GlobalPooling):
                yield nn.AvgPool2d((shape[1], shape[2]), stride=1)
            elif isinstance(layer, layers.Flatten):
                window = (shape[1], shape[2]) if len(shape) == 3 else window
            elif isinstance(module, nn.Linear):
                yield _as_convolution(module, window)
                window = (1, 1)
            elif isinstance(module, nn.BatchNorm1d):
                yield _as_batch_norm_2d(module)
            else:
                yield module
            shape = layer.out_shape(shape)


def _as_convolution(linear: nn.Linear, window: tuple[int, int]) -> nn.Conv2d:
    """Return the linear layer as a convolution with kernel size ``window``."""
    channels = linear.in_features // (window[0] * window[1])
    converted = nn.Conv2d(channels, linear.out_features, window, bias=linear.bias is not None)
    with torch.no_grad():
        converted.weight.copy_(linear.weight.view(linear.out_features, channels, *window))
        if linear.bias is not None and converted.bias is not None:
            converted.bias.copy_(linear.bias)
    return converted


def _as_batch_norm_2d(norm: nn.BatchNorm1d) -> nn.BatchNorm2d:
    converted = nn.BatchNorm2d(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
    converted.load_state_dict(norm.state_dict())
    return converted
