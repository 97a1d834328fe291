"""The recipe of a zero-shot model: a training recipe, and the keys that define how text becomes a classifier."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ..parameters.constraints import Constraint, is_real, odd_int, one_of, positive_int, real
from .recipe import Condition, Recipe

FORMS = ("fc", "conv", "fc+conv")
CLOSED_FORMS = ("ridge", "eszsl")
BILINEAR_FORMS = ("bilinear", "devise", "ale", "sje")
LINEAR_FORMS = (*CLOSED_FORMS, *BILINEAR_FORMS)  # of the vectors of a frozen backbone, or of data that are vectors
SIMILARITIES = ("dot", "cosine")
LOSSES = ("bce", "hinge", "euclidean", "softmax")
CALIBRATIONS = ("none", "posterior")
VECTORS = "vectors"  # texts that are numbers, such as attributes
TEXTS = ("tfidf", "tfidf-stop", "tfidf-stem", "tfidf-stem-stop", "names", VECTORS)
SENTENCE = "sentence:"  # prefix of a sentence encoder, followed by its name or folder

# keys of a recipe that the training of zero-shot models does not implement; they must keep their defaults
IGNORED = (
    *("dropconnect", "l1", "activation_l1", "init", "averaging", "auxiliary", "find_lr", "train", "frozen_stages"),
    *("layer_lr_decay", "head_lr_factor", "adapter", "drop_path", "mixup_alpha", "cutmix_alpha", "teacher"),
    *("class_weights", "sampling", "qat_epochs"),
)


def _must_be_default(default: object) -> Constraint:
    """Return the constraint of a key that the training of zero-shot models ignores: only its default is allowed."""
    # the type is checked too: False == 0 in Python; for floats an integer such as 0 is accepted
    has_type = is_real if isinstance(default, float) else lambda value: type(value) is type(default)
    description = f"{default!r}: zero-shot models are trained without it"
    return Constraint(description, lambda value: has_type(value) and bool(value == default))


CONSTRAINTS: dict[str, Constraint] = {
    "form": one_of(*FORMS, *LINEAR_FORMS),
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
    "text_ridge": real("a number above 0", lambda v: v > 0),
    "image_ridge": real("a number above 0", lambda v: v > 0),
    "label_smoothing": real("0: a zero-shot loss has no smoothed labels", lambda v: v == 0),
    **{name: _must_be_default(getattr(Recipe, name)) for name in IGNORED},
}


def _form(*forms: str) -> Condition:
    """Return the condition that a recipe has one of ``forms``."""
    return lambda recipe: recipe["form"] in forms


# keys that have an effect only with some forms
CONDITIONS: dict[str, Condition] = {
    **dict.fromkeys(("k", "loss", "similarity", "hidden", "dropout"), _form(*FORMS)),
    **dict.fromkeys(("filters", "filter_size"), _form("conv", "fc+conv")),
    "k": _form("fc", "fc+conv"),
    "text_ridge": _form(*CLOSED_FORMS),
    "image_ridge": _form("eszsl"),
    **dict.fromkeys(
        ("epochs", "batch_size", "optimizer", "lr", "momentum", "nesterov", "weight_decay", "schedule", "lr_end"),
        _form(*FORMS, *BILINEAR_FORMS),
    ),
}


@dataclass(frozen=True, kw_only=True)
class ZeroShotRecipe(Recipe):
    """The hyperparameters of one zero-shot model and its training (Ba et al. 2015).

    ``form``: text predicts a vector (``fc``), filters (``conv``) or both (``fc+conv``). ``k``: entries of the vector.
    ``hidden``: width of the hidden layer of the text network. ``filters`` and ``filter_size``: number and side of the
    filters, K' and s in the paper. ``text``: how texts become vectors. ``similarity``: how a classifier is compared
    with an image; with the ``euclidean`` loss they are always compared by distance. ``calibration``: ``posterior``
    turns scores into log p(class | image) over the candidate classes, which makes the scores of different images
    comparable; ``none`` leaves the scores unchanged. ``dropout`` also acts before the last layer of the text network.
    Linear forms compare the vector of an image, before the last linear layer, with a linear map of the text:
    ``text_ridge`` and ``image_ridge`` are the strengths of the closed forms, and the bilinear forms have losses of
    their own.
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
    text_ridge: float = 1.0
    image_ridge: float = 1.0

    constraints: ClassVar[dict[str, Constraint]] = {**Recipe.constraints, **CONSTRAINTS}
    conditions: ClassVar[dict[str, Condition]] = {**Recipe.conditions, **CONDITIONS}

    @property
    def compares_by(self) -> str:
        """How a classifier is compared with an image: ``similarity``, or "distance" for the euclidean loss."""
        return "distance" if self.loss == "euclidean" else self.similarity

    @property
    def has_vector(self) -> bool:
        """Whether text predicts a vector."""
        return self.form in ("fc", "fc+conv")

    @property
    def has_filters(self) -> bool:
        """Whether text predicts filters."""
        return self.form in ("conv", "fc+conv")

    @property
    def is_linear(self) -> bool:
        """Whether scores are linear in the vector of an image and in that of a text."""
        return self.form in LINEAR_FORMS

    @property
    def is_closed(self) -> bool:
        """Whether the form has a closed solution, which needs no epochs."""
        return self.form in CLOSED_FORMS

    @property
    def embedding(self) -> int:
        """E: the number of values that text predicts for a class, and that an image is reduced to.

        It is 0 for linear forms, where E is the number of entries of the vector of an image.
        """
        vector = self.k if self.has_vector else 0
        return vector + (self.filters * self.filter_size**2 if self.has_filters else 0)


def recipe_from_json(data: Mapping[str, Any]) -> Recipe:
    """Return the :class:`Recipe` or :class:`ZeroShotRecipe` that ``to_json`` wrote.

    Raises ``ValueError`` for an unknown key, with the nearest known one.
    """
    # only zero-shot recipes have the key "form", and to_json writes every key
    kind = ZeroShotRecipe if "form" in data else Recipe
    return kind.from_json(data)
