"""The recipe of a zero-shot model: what a recipe says, and how text becomes a classifier; with its closed-form cost."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ..parameters.constraints import Constraint, is_real, odd_int, one_of, positive_int, real
from .recipe import Recipe

FORMS = ("fc", "conv", "fc+conv")
SIMILARITIES = ("dot", "cosine")
LOSSES = ("bce", "hinge", "euclidean", "softmax")
CALIBRATIONS = ("none", "posterior")
TEXTS = ("tfidf", "tfidf-stop", "tfidf-stem", "tfidf-stem-stop", "names")
SENTENCE = "sentence:"

IGNORED = ("dropconnect", "l1", "activation_l1", "init", "averaging", "auxiliary", "find_lr")


def _only(default: object) -> Constraint:
    """The constraint of a key that a zero-shot fit ignores."""
    of_type = is_real if isinstance(default, float) else lambda value: type(value) is type(default)
    description = f"{default!r}: zero-shot models are trained without it"
    return Constraint(description, lambda value: of_type(value) and bool(value == default))


CONSTRAINTS: dict[str, Constraint] = {
    "form": one_of(*FORMS),
    "text": Constraint(
        f"one of {', '.join(TEXTS)}, or {SENTENCE} and a model's name or folder",
        lambda v: v in TEXTS or (isinstance(v, str) and v.startswith(SENTENCE)),
    ),
    "k": positive_int,
    "hidden": positive_int,
    "filters": positive_int,
    "filter_size": odd_int,
    "loss": one_of(*LOSSES),
    "similarity": one_of(*SIMILARITIES),
    "calibration": one_of(*CALIBRATIONS),
    "label_smoothing": real("0: a zero-shot loss has no smoothed labels", lambda v: v == 0),
    **{name: _only(getattr(Recipe, name)) for name in IGNORED},
}


@dataclass(frozen=True, kw_only=True)
class ZeroShotRecipe(Recipe):
    """How one zero-shot model is made and trained (Ba et al. 2015).

    ``form``: text predicts a vector (``fc``), filters (``conv``) or both. ``k``: entries of the vector. ``hidden``:
    width of the text network's hidden layer. ``filters`` and ``filter_size``: K' and s. ``text``: how texts become
    vectors. ``similarity``: how a classifier meets an image; the ``euclidean`` loss knows distances alone.
    ``calibration``:
    ``posterior`` turns scores into log p(class | image) over the classes asked about, which makes the scores of
    different images comparable; ``none`` leaves them. ``dropout`` is also before the text network's last layer.
    """

    optimizer: str = "adam"
    lr: float = 1e-3
    weight_decay: float = 0.0
    form: str = "fc"
    text: str = "tfidf"
    k: int = 50
    hidden: int = 300
    filters: int = 5
    filter_size: int = 3
    loss: str = "bce"
    similarity: str = "dot"
    calibration: str = "none"

    constraints: ClassVar[dict[str, Constraint]] = {**Recipe.constraints, **CONSTRAINTS}

    @property
    def compares_by(self) -> str:
        """How a classifier meets an image: by the similarity, or by the distance where the loss is euclidean."""
        return "distance" if self.loss == "euclidean" else self.similarity

    @property
    def has_vector(self) -> bool:
        """Whether text predicts a vector."""
        return self.form != "conv"

    @property
    def has_filters(self) -> bool:
        """Whether text predicts filters."""
        return self.form != "fc"

    @property
    def embedding(self) -> int:
        """E: what text predicts for a class, and what an image is reduced to."""
        vector = self.k if self.has_vector else 0
        return vector + (self.filters * self.filter_size**2 if self.has_filters else 0)


@dataclass(frozen=True)
class ZeroShotCost:
    """What joins an image network to texts: parameters, and multiply-accumulates of one image, text and class.

    ``image_params``, ``image_macs`` and ``image_activations``: the head behind the image network, for one image.
    ``text_params`` and ``text_macs``: the text network, for one text, which runs once for a class and never for an
    image. A class costs ``class_params`` stored numbers and ``class_macs`` for each image that is scored against it.
    """

    image_params: int
    image_macs: int
    image_activations: int
    text_params: int
    text_macs: int
    class_params: int
    class_macs: int


def zero_shot_cost(
    recipe: ZeroShotRecipe, words: int, features: int, feature_map: tuple[int, int, int]
) -> ZeroShotCost:
    """The closed-form cost of the heads on ``features`` F, a map (C, H, W) and texts of ``words`` p entries."""
    channels, height, width = feature_map
    vector = (features * recipe.k + recipe.k, features * recipe.k) if recipe.has_vector else (0, 0)
    weights = channels * recipe.filters * 9
    filters = (weights + recipe.filters, weights * height * width) if recipe.has_filters else (0, 0)
    scale = 2 if recipe.compares_by == "cosine" else 0
    products = words * recipe.hidden + recipe.hidden * recipe.embedding
    return ZeroShotCost(
        vector[0] + filters[0] + scale,
        vector[1] + filters[1],
        (recipe.k if recipe.has_vector else 0) + (recipe.filters * height * width if recipe.has_filters else 0),
        products + recipe.hidden + recipe.embedding,
        products,
        recipe.embedding,
        recipe.embedding,
    )


def recorded_recipe(data: Mapping[str, Any]) -> Recipe:
    """The recipe that ``to_json`` of either kind wrote; unknown keys are refused, the nearest named."""
    kind = ZeroShotRecipe if "form" in data else Recipe
    return kind.from_json(data)
