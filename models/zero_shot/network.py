"""The zero-shot model: text predicts the classifier that scores an image (Ba et al., ICCV 2015, arXiv 1506.00511).

Shapes: B images, C classes, p text entries, F image features, k embedding, K' filters of s x s, E entries of the joint
embedding: k for ``fc``, K' s^2 for ``conv``, their sum for ``fc+conv``.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...spaces.recipes.zero_shot_recipe import ZeroShotRecipe
from ..networks.feature_extractors import ImageBody
from .losses import LOSSES

PREDICTED_STD = 0.01  # of the last layers of the text network, which put out weights
SCALE = 10.0  # of cosines, at the start


class ImageHead(nn.Module):
    """From a body's features and map to the joint embedding g_v (B, E).

    ``conv`` scores are the global average of the map convolved with a class's filters. The average of a convolution is
    linear in the filters: it is their product with the averages of the map's shifted copies, which are the embedding
    here. The scores are exactly those of section 3.3, at K' s^2 multiply-accumulates a class instead of K' s^2 H W.
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
    """f_t: text vectors (C, p) -> classifiers (C, E); the hidden layer is shared by vector and filters."""

    def __init__(self, width: int, recipe: ZeroShotRecipe) -> None:
        super().__init__()
        self.hidden = nn.Linear(width, recipe.hidden)
        self.dropout = nn.Dropout(recipe.dropout)
        self.out = nn.Linear(recipe.hidden, recipe.embedding)
        nn.init.normal_(self.out.weight, std=PREDICTED_STD if recipe.compares_by == "dot" else recipe.hidden**-0.5)
        nn.init.zeros_(self.out.bias)

    def forward(self, texts: Tensor) -> Tensor:
        found: Tensor = self.out(self.dropout(self.hidden(texts).relu()))
        return found


class ZeroShotNetwork(nn.Module):
    """Scores (B, C) of images against texts: one embedding each, one similarity between them."""

    def __init__(self, body: ImageBody, text_width: int, recipe: ZeroShotRecipe) -> None:
        super().__init__()
        self.recipe = recipe
        if recipe.has_filters and body.map_channels is None:
            raise ValueError(
                f"the form {recipe.form!r} reads a feature map, but the image network has none before its vector; "
                "use the form 'fc'"
            )
        self.body = body
        self.image_head = ImageHead(body.features, body.map_channels or 0, recipe)
        self.text_head = TextHead(text_width, recipe)
        if recipe.compares_by == "cosine":
            self.log_scale = nn.Parameter(torch.tensor(SCALE).log())
            self.bias = nn.Parameter(torch.zeros(()))

    def embed(self, images: Tensor) -> Tensor:
        """g_v (B, E) of normalised images (B, C, H, W)."""
        return self.from_body(*self.body(images))

    def from_body(self, features: Tensor, feature_map: Tensor | None) -> Tensor:
        """g_v (B, E) of what the body puts out, which a frozen body puts out only once."""
        found: Tensor = self.image_head(features, feature_map)
        return F.normalize(found, dim=1) if self.recipe.compares_by == "cosine" else found

    def classifiers(self, texts: Tensor) -> Tensor:
        """w_c (C, E) of text vectors (C, p)."""
        found: Tensor = self.text_head(texts)
        return F.normalize(found, dim=1) if self.recipe.compares_by == "cosine" else found

    def compare(self, embedded: Tensor, classifiers: Tensor) -> Tensor:
        """Scores (B, C): w_c . g_v, the scaled cosine, or -||w_c - g_v||^2 / 2."""
        product = embedded @ classifiers.T
        if self.recipe.compares_by == "cosine":
            return self.log_scale.exp().clamp(max=100) * product + self.bias
        if self.recipe.compares_by == "distance":
            return product - (embedded.square().sum(1, keepdim=True) + classifiers.square().sum(1)) / 2
        return product

    def forward(self, images: Tensor, texts: Tensor) -> Tensor:
        return self.compare(self.embed(images), self.classifiers(texts))


class ImageSide(nn.Module):
    """The image network with its head alone: images (B, C, H, W) to embeddings (B, E)."""

    def __init__(self, network: ZeroShotNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return self.network.embed(images)


def batch_loss(network: ZeroShotNetwork, embedded: Tensor, labels: Tensor, texts: Tensor) -> tuple[Tensor, Tensor]:
    """The loss of a minibatch over the classes present in it, divided by its pictures; and how many are right.

    ``embedded`` (B, E), ``labels`` (B,) in 0..C-1, ``texts`` (C, p). The paper: "we sum over all the image labels from
    the minibatch only". It sums over images too; dividing by B keeps the learning rate from depending on it.
    """
    present, targets = torch.unique(labels, return_inverse=True)
    scores = network.compare(embedded, network.classifiers(texts[present]))
    hits = (scores.detach().argmax(1) == targets).sum()
    return LOSSES[network.recipe.loss](scores, targets) / len(labels), hits


def shifted_means(feature_map: Tensor, size: int) -> Tensor:
    """Averages (B, K' s^2) over all positions of the map (B, K', H, W) shifted as a padded s x s filter sees it.

    The product with a flattened filter (K', s, s) is the global average of the map convolved with it.
    """
    batch, channels, height, width = feature_map.shape
    pad = size // 2
    padded = F.pad(feature_map, [pad] * 4)
    means = [
        padded[:, :, row : row + height, column : column + width].mean((2, 3))
        for row in range(size)
        for column in range(size)
    ]
    return torch.stack(means, 2).reshape(batch, channels * size * size)
