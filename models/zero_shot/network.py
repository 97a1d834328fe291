"""Zero-shot network: text predicts the classifier that scores an image (Ba et al., ICCV 2015, arXiv 1506.00511).

Shapes: B images, C classes, p text entries, F image features, k embedding, K' filters of s x s, E entries of the joint
embedding: k for ``fc``, K' s^2 for ``conv``, their sum for ``fc+conv``.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...spaces.recipes.zero_shot_recipe import ZeroShotRecipe
from ..networks.feature_extractors import ImageBody
from .linear_network import LinearNetwork
from .losses import LOSSES

OUTPUT_STD = 0.01  # initial weights of the text network's last layer; small, because its outputs are classifier weights
INITIAL_SCALE = 10.0  # factor of cosines before training


class ImageHead(nn.Module):
    """Map a body's features and feature map to the joint embedding g_v (B, E).

    The score of form ``conv`` is the global average of the map convolved with a class's filters. This average is linear
    in the filters: it is the product of the filters and the averages of shifted copies of the map. The embedding
    consists of these averages. The scores are exactly those of section 3.3, with K' s^2 multiply-accumulates per class
    instead of K' s^2 H W.
    """

    def __init__(self, features: int, map_channels: int, recipe: ZeroShotRecipe) -> None:
        super().__init__()
        self.kernel = recipe.filter_size
        self.vector = nn.Sequential(nn.ReLU(), nn.Linear(features, recipe.k)) if recipe.has_vector else None
        self.reduce = nn.Conv2d(map_channels, recipe.filters, 3, padding=1) if recipe.has_filters else None

    def forward(self, features: Tensor, feature_map: Tensor | None) -> Tensor:
        parts = [self.vector(features)] if self.vector is not None else []
        if self.reduce is not None:
            assert feature_map is not None
            parts.append(shifted_means(self.reduce(feature_map).relu(), self.kernel))
        return torch.cat(parts, 1)


class TextHead(nn.Module):
    """f_t: map text vectors (C, p) to classifiers (C, E); vector and filters share the hidden layer."""

    def __init__(self, width: int, recipe: ZeroShotRecipe) -> None:
        super().__init__()
        self.hidden = nn.Linear(width, recipe.hidden)
        self.dropout = nn.Dropout(recipe.dropout)
        self.out = nn.Linear(recipe.hidden, recipe.embedding)
        nn.init.normal_(self.out.weight, std=OUTPUT_STD if recipe.compares_by == "dot" else recipe.hidden**-0.5)
        nn.init.zeros_(self.out.bias)

    def forward(self, texts: Tensor) -> Tensor:
        classifiers: Tensor = self.out(self.dropout(self.hidden(texts).relu()))
        return classifiers


class ZeroShotNetwork(nn.Module):
    """Network for scores (B, C) of images against texts: the similarity of their embeddings.

    Raises ``ValueError`` if the recipe's form needs a feature map that ``body`` does not have.
    """

    def __init__(self, body: ImageBody, text_width: int, recipe: ZeroShotRecipe) -> None:
        super().__init__()
        self.recipe = recipe
        if recipe.has_filters and body.map_channels is None:
            raise ValueError(
                f"the form {recipe.form!r} needs a feature map, but the image network has none before its vector; "
                "use the form 'fc'"
            )
        self.body = body
        self.image_head = ImageHead(body.features, body.map_channels or 0, recipe)
        self.text_head = TextHead(text_width, recipe)
        if recipe.compares_by == "cosine":
            # a logarithm, so that training cannot make the scale negative
            self.log_scale = nn.Parameter(torch.tensor(INITIAL_SCALE).log())
            self.bias = nn.Parameter(torch.zeros(()))

    def embed(self, images: Tensor) -> Tensor:
        """Return g_v (B, E) of normalised images (B, C, H, W)."""
        embedded: Tensor = self.image_head(*self.body(images))
        return F.normalize(embedded, dim=1) if self.recipe.compares_by == "cosine" else embedded

    def classifiers(self, texts: Tensor) -> Tensor:
        """Return w_c (C, E) of text vectors (C, p)."""
        classifiers: Tensor = self.text_head(texts)
        return F.normalize(classifiers, dim=1) if self.recipe.compares_by == "cosine" else classifiers

    def compare(self, embedded: Tensor, classifiers: Tensor) -> Tensor:
        """Return scores (B, C): w_c . g_v, the scaled cosine, or -||w_c - g_v||^2 / 2, as the recipe selects."""
        product = embedded @ classifiers.T
        if self.recipe.compares_by == "cosine":
            return self.log_scale.exp().clamp(max=100) * product + self.bias
        if self.recipe.compares_by == "distance":
            # -|w - g|^2 / 2 expanded, so that no (B, C, E) tensor is needed
            return product - (embedded.square().sum(1, keepdim=True) + classifiers.square().sum(1)) / 2
        return product

    def forward(self, images: Tensor, texts: Tensor) -> Tensor:
        return self.compare(self.embed(images), self.classifiers(texts))


class ImageSide(nn.Module):
    """The image network with its head, without the text network: images (B, C, H, W) to embeddings (B, E)."""

    def __init__(self, network: ZeroShotNetwork | LinearNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return self.network.embed(images)


def batch_loss(network: ZeroShotNetwork, embedded: Tensor, labels: Tensor, texts: Tensor) -> tuple[Tensor, Tensor]:
    """Return the loss per image of a minibatch, over the classes in it, and the number of correct predictions.

    ``embedded`` (B, E), ``labels`` (B,) in 0..C-1, ``texts`` (C, p). The paper: "we sum over all the image labels from
    the minibatch only". The paper also sums over images; dividing by B makes the learning rate independent of B.
    """
    present, targets = torch.unique(labels, return_inverse=True)
    scores = network.compare(embedded, network.classifiers(texts[present]))
    hits = (scores.detach().argmax(1) == targets).sum()
    return LOSSES[network.recipe.loss](scores, targets) / len(labels), hits


def shifted_means(feature_map: Tensor, size: int) -> Tensor:
    """Return the averages (B, K' s^2) of shifted copies of the map (B, K', H, W), one per offset in the s x s window.

    The product with a flattened filter (K', s, s) is the global average of the padded map convolved with the filter.
    """
    batch, channels, height, width = feature_map.shape
    pad = size // 2  # the same padding as a convolution that keeps the size of the map
    padded = F.pad(feature_map, [pad] * 4)
    means = [
        padded[:, :, row : row + height, column : column + width].mean((2, 3))
        for row in range(size)
        for column in range(size)
    ]
    return torch.stack(means, 2).reshape(batch, channels * size * size)
