"""Linear zero-shot networks: a score is bilinear in an image vector and a text vector, F(x, c) = x' W' a_c.

Shapes: B images with vectors (B, F), C classes with text vectors (C, p), r coordinates of a text, weight W (F, r) as
``nn.Linear`` stores it.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...spaces.recipes.zero_shot_recipe import ZeroShotRecipe
from ..networks.feature_extractors import ImageBody


class LinearNetwork(nn.Module):
    """Network of the forms ridge, eszsl, bilinear, devise, ale and sje, with the interface of a ``ZeroShotNetwork``.

    ``image_mean`` (F,) and ``text_mean`` (p,) are subtracted. Of ridge and bilinear forms, image vectors have length 1;
    of bilinear forms also text vectors, and of ridge the predicted classifiers. Products are divided by ``scale``, the
    standard deviation of the scores of training images, so that a calibration means the same for all forms. ``basis``
    (p, r) gives the coordinates of a text; it is that of ``text_basis``, or has r = p columns and is not used.
    """

    image_mean: Tensor
    text_mean: Tensor
    scale: Tensor
    basis: Tensor | None

    def __init__(self, body: ImageBody, text_width: int, recipe: ZeroShotRecipe, *, rank: int | None = None) -> None:
        super().__init__()
        self.recipe, self.body = recipe, body
        self.map = nn.Linear(rank or text_width, body.features, bias=False)
        self.register_buffer("basis", None if rank is None else torch.zeros(text_width, rank))
        nn.init.zeros_(self.map.weight)
        self.register_buffer("image_mean", torch.zeros(body.features))
        self.register_buffer("text_mean", torch.zeros(text_width))
        self.register_buffer("scale", torch.ones(()))

    def embed(self, images: Tensor) -> Tensor:
        """Return centred vectors (B, F) of normalised images (B, C, H, W), or of vectors (B, F, 1, 1)."""
        centred = self.body(images)[0] - self.image_mean
        return centred if self.recipe.form == "eszsl" else F.normalize(centred, dim=1)

    def classifiers(self, texts: Tensor) -> Tensor:
        """Return classifiers (C, F) of text vectors (C, p)."""
        rows = texts - self.text_mean
        if not self.recipe.is_closed:
            rows = F.normalize(rows, dim=1)
        predicted: Tensor = self.map(rows if self.basis is None else rows @ self.basis)
        return F.normalize(predicted, dim=1) if self.recipe.form == "ridge" else predicted

    def products(self, embedded: Tensor, classifiers: Tensor) -> Tensor:
        """Return F(x, c) (B, C), which the losses of bilinear forms compare with their margin."""
        return embedded @ classifiers.T

    def compare(self, embedded: Tensor, classifiers: Tensor) -> Tensor:
        """Return scores (B, C), products divided by ``scale``."""
        return self.products(embedded, classifiers) / self.scale

    def forward(self, images: Tensor, texts: Tensor) -> Tensor:
        return self.compare(self.embed(images), self.classifiers(texts))
