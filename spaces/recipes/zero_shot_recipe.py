"""The recipe of a zero-shot model: what a recipe says, and how text becomes a classifier."""

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


def recorded_recipe(data: Mapping[str, Any]) -> Recipe:
    """The recipe that ``to_json`` of either kind wrote; unknown keys are refused, the nearest named."""
    kind = ZeroShotRecipe if "form" in data else Recipe
    return kind.from_json(data)
