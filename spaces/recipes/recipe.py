"""The training recipe, the hyperparameters of one training run, and spaces of recipes."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, ClassVar, Self, TypeGuard

from ..blocks.backbone import NETWORK_SOURCES
from ..parameters.constraints import Constraint, boolean, check, non_negative_int, one_of, positive_int, real
from ..parameters.domains import Choice, Range
from ..parameters.lookup import unknown
from .class_weights import as_text, class_weights
from .parameter_table import parameter_of_table

OPTIMIZERS = ("sgd", "adam", "adamw")
SCHEDULES = ("cosine", "step", "one-cycle", "constant")
CROP_FLIP = "crop-flip"  # random-resized crop and flip
AUGMENTATIONS = ("none", "shift", "shift-flip", "standard", CROP_FLIP)
INITS = ("he", "glorot")
AVERAGINGS = ("none", "ema", "swa")
AUXILIARIES = ("none", "rotation", "reconstruction")
SAMPLINGS = ("shuffle", "balanced")
TRAINED = ("all", "head", "head-then-all")
ADAPTERS = ("none", "lora")
NONE = "none"  # the value of a key that switches a technique off
MAX_RANDAUGMENT_MAGNITUDE = 30  # torchvision and timm divide the strength of a change into 31 steps
SUFFICIENT_LR_DECAY = (
    0.01  # final / initial learning rate of a schedule that decays by the recommended factor of 100 or more
)
AUTO = "auto"
AUTO_START_LR = 1.0  # the first learning rate that is tried if lr is "auto"

non_negative = real("a number of at least 0", lambda v: v >= 0)

CONSTRAINTS: dict[str, Constraint] = {
    "epochs": positive_int,
    "batch_size": positive_int,
    "optimizer": one_of(*OPTIMIZERS),
    "lr": real("a number above 0", lambda v: v > 0),
    "momentum": real("a number in [0, 1)", lambda v: 0 <= v < 1),
    "nesterov": boolean,
    "weight_decay": non_negative,
    "decay_norms": boolean,
    "schedule": one_of(*SCHEDULES),
    "lr_end": real("a fraction in (0, 1]", lambda v: 0 < v <= 1),
    "warmup_epochs": non_negative,
    "dropout": real("a probability in [0, 1)", lambda v: 0 <= v < 1),
    "label_smoothing": real("a fraction in [0, 1)", lambda v: 0 <= v < 1),
    "augmentation": one_of(*AUGMENTATIONS),
    "rotation_degrees": real("an angle in [0, 180]", lambda v: 0 <= v <= 180),
    "jitter": real("a fraction in [0, 1]", lambda v: 0 <= v <= 1),
    "noise_std": non_negative,
    "elastic_alpha_px": non_negative,
    "elastic_sigma_px": real("a number above 0", lambda v: v > 0),
    "dropconnect": real("a probability in [0, 1)", lambda v: 0 <= v < 1),
    "l1": non_negative,
    "activation_l1": non_negative,
    "init": one_of(*INITS),
    "averaging": one_of(*AVERAGINGS),
    "ema_decay": real("a fraction in (0, 1)", lambda v: 0 < v < 1),
    "swa_start": real("a fraction in [0, 1)", lambda v: 0 <= v < 1),
    "auxiliary": one_of(*AUXILIARIES),
    "auxiliary_weight": non_negative,
    "find_lr": boolean,
    "class_weights": class_weights,
    "sampling": one_of(*SAMPLINGS),
    "train": one_of(*TRAINED),
    "head_epochs": positive_int,
    "frozen_stages": non_negative_int,
    "layer_lr_decay": real("a fraction in (0, 1]", lambda v: 0 < v <= 1),
    "head_lr_factor": real("a number above 0", lambda v: v > 0),
    "adapter": one_of(*ADAPTERS),
    "lora_rank": positive_int,
    "lora_alpha": real("a number above 0", lambda v: v > 0),
    "drop_path": real("a probability in [0, 1)", lambda v: 0 <= v < 1),
    "clip_grad_norm": non_negative,
    "mixup_alpha": non_negative,
    "cutmix_alpha": non_negative,
    "randaugment_ops": non_negative_int,
    "randaugment_magnitude": Constraint(
        f"a whole number in 0..{MAX_RANDAUGMENT_MAGNITUDE}",
        lambda v: non_negative_int.holds(v) and v <= MAX_RANDAUGMENT_MAGNITUDE,
    ),
    "random_erasing": real("a probability in [0, 1]", lambda v: 0 <= v <= 1),
    "teacher": Constraint(
        "the path of a saved model, a trial such as digits:4, the name of a network such as timm:resnet18, or none",
        lambda v: isinstance(v, str) and bool(v.strip()),
    ),
    "distill_weight": real("a fraction in [0, 1]", lambda v: 0 <= v <= 1),
    "distill_temperature": real("a number above 0", lambda v: v > 0),
    "qat_epochs": non_negative_int,
}

# Keys without effect where only the head is trained: its input is computed once from unchanged images, by a body that
# does not change.
NOT_FOR_HEAD = (
    *("augmentation", "rotation_degrees", "jitter", "noise_std", "elastic_alpha_px", "elastic_sigma_px"),
    *("randaugment_ops", "randaugment_magnitude", "random_erasing", "cutmix_alpha"),
    *("auxiliary", "auxiliary_weight", "activation_l1", "drop_path", "teacher", "distill_weight"),
    *("distill_temperature", "qat_epochs", "adapter", "lora_rank", "lora_alpha"),
    *("frozen_stages", "layer_lr_decay", "head_lr_factor"),
)

# Keys that have an effect only with certain values of other keys. If a key has no effect, RecipeSpace.fill sets it to
# one fixed value. Otherwise recipes that train the same way would count as different and be tried twice.
_WITHIN_TECHNIQUE: dict[str, Callable[[Mapping[str, Any]], bool]] = {
    "elastic_sigma_px": lambda recipe: recipe["elastic_alpha_px"] > 0,
    "ema_decay": lambda recipe: recipe["averaging"] == "ema",
    "swa_start": lambda recipe: recipe["averaging"] == "swa",
    "auxiliary_weight": lambda recipe: recipe["auxiliary"] != NONE,
    "head_epochs": lambda recipe: recipe["train"] == "head-then-all",
    "lora_rank": lambda recipe: recipe["adapter"] == "lora",
    "lora_alpha": lambda recipe: recipe["adapter"] == "lora",
    "randaugment_magnitude": lambda recipe: recipe["randaugment_ops"] > 0,
    "distill_weight": lambda recipe: recipe["teacher"] != NONE,
    "distill_temperature": lambda recipe: recipe["teacher"] != NONE,
}


def _always(recipe: Mapping[str, Any]) -> bool:
    return True


def _condition(key: str) -> Callable[[Mapping[str, Any]], bool]:
    """Return the condition under which ``key`` has an effect."""
    within = _WITHIN_TECHNIQUE.get(key, _always)
    if key not in NOT_FOR_HEAD:
        return within
    return lambda recipe: recipe["train"] != "head" and within(recipe)


CONDITIONS: dict[str, Callable[[Mapping[str, Any]], bool]] = {
    key: _condition(key) for key in (*_WITHIN_TECHNIQUE, *NOT_FOR_HEAD)
}

Condition = Callable[[Mapping[str, Any]], bool]
MAX_CHECKED_INTEGERS = 100_000  # of a range; above, only its bounds are checked


def float_epochs(recipe: Mapping[str, Any]) -> int:
    """Return ``float_epochs`` of the JSON of a recipe, which may be of a version without ``qat_epochs``."""
    qat_epochs = recipe.get("qat_epochs") or 0
    return max(0, int(recipe["epochs"] - qat_epochs)) if qat_epochs and recipe.get("train") != "head" else 0


def is_model_file(teacher: Any) -> TypeGuard[str]:
    """Return whether ``recipe.teacher`` is a path, and not none or the name of a network such as timm:resnet18."""
    is_name = isinstance(teacher, str) and (teacher == NONE or teacher.startswith(NETWORK_SOURCES))
    return isinstance(teacher, str) and not is_name and not is_trial_name(teacher)


def is_trial_name(teacher: Any) -> bool:
    """Return whether ``recipe.teacher`` is a trial, RUN:NUMBER."""
    is_name = isinstance(teacher, str) and re.fullmatch(r"[^/\\]+:\d{1,9}", teacher) is not None
    return is_name and not teacher.startswith(NETWORK_SOURCES)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The hyperparameters of one training run. The defaults are stochastic gradient descent with momentum.

    ``lr`` is the peak learning rate; every schedule except ``constant`` ends at ``lr * lr_end``. ``weight_decay`` is
    applied by the optimizer (an L2 term for sgd and adam, decoupled for adamw) to weights of convolutions and linear
    layers, and with ``decay_norms`` also to biases and norms. ``dropout`` acts before each fully connected layer. With
    ``find_lr`` the peak is the first of lr, lr / 2, lr / 4, ... that trains (``lr = "auto"`` in a search file starts
    at 1). ``train`` selects what is trained: the whole network, its head (the last linear layer), or first the head.
    ``class_weights`` may be given as a table; it is stored as JSON text. All keys, with their units and papers, are in
    ``docs/recipe.md``.
    """

    epochs: int = 12
    batch_size: int = 128
    optimizer: str = "sgd"
    lr: float = 0.1
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 5e-4
    decay_norms: bool = False
    schedule: str = "cosine"
    lr_end: float = 0.01
    warmup_epochs: float = 0.0
    dropout: float = 0.0
    label_smoothing: float = 0.0
    augmentation: str = "none"
    rotation_degrees: float = 0.0
    jitter: float = 0.0
    noise_std: float = 0.0
    elastic_alpha_px: float = 0.0
    elastic_sigma_px: float = 4.0
    dropconnect: float = 0.0
    l1: float = 0.0
    activation_l1: float = 0.0
    init: str = "he"
    averaging: str = "none"
    ema_decay: float = 0.99
    swa_start: float = 0.75
    auxiliary: str = "none"
    auxiliary_weight: float = 0.1
    find_lr: bool = False
    class_weights: str = "none"
    sampling: str = "shuffle"
    train: str = "all"
    head_epochs: int = 1
    frozen_stages: int = 0
    layer_lr_decay: float = 1.0
    head_lr_factor: float = 1.0
    adapter: str = NONE
    lora_rank: int = 8
    lora_alpha: float = 16.0
    drop_path: float = 0.0
    clip_grad_norm: float = 0.0
    mixup_alpha: float = 0.0
    cutmix_alpha: float = 0.0
    randaugment_ops: int = 0
    randaugment_magnitude: int = 9
    random_erasing: float = 0.0
    teacher: str = NONE
    distill_weight: float = 0.5
    distill_temperature: float = 2.0
    qat_epochs: int = 0

    constraints: ClassVar[dict[str, Constraint]] = CONSTRAINTS
    conditions: ClassVar[dict[str, Condition]] = CONDITIONS  # of keys that do not always have an effect

    def __post_init__(self) -> None:
        object.__setattr__(self, "class_weights", as_text(self.class_weights))
        for f in fields(self):
            _check(type(self), f.name, getattr(self, f.name))

    @property
    def effective(self) -> Self:
        """The recipe in which keys without effect on the head have their defaults, if only the head is trained."""
        if self.train != "head":
            return self
        return replace(self, **{name: getattr(type(self), name) for name in NOT_FOR_HEAD})

    @property
    def float_epochs(self) -> int:
        """The epochs before quantisation-aware training; 0 without it. None of them is the best epoch."""
        return float_epochs(vars(self))

    def to_json(self) -> dict[str, Any]:
        """Return the recipe as JSON types."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the recipe that ``to_json`` wrote; missing keys get their defaults.

        Raises ``ValueError`` for an unknown key, with the nearest known one, and for a value out of range.
        """
        data = _resolve_auto_lr(data)
        _check_keys(cls, data)
        return cls(**data)


def _resolve_auto_lr(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``data`` with ``lr = "auto"`` replaced by the keys ``lr`` and ``find_lr`` of a recipe."""
    return {**data, "lr": AUTO_START_LR, "find_lr": True} if data.get("lr") == AUTO else dict(data)


def _type_of(kind: type[Recipe], name: str) -> type:
    """Return the type of a key, which is the type of its default."""
    return type(getattr(kind, name))


def _check(kind: type[Recipe], name: str, value: Any) -> None:
    if not kind.constraints[name].holds(value):
        check(kind.constraints[name], value, f"recipe.{name}")


def _check_keys(kind: type[Recipe], data: Mapping[str, Any]) -> None:
    """Raise ``ValueError`` for a key that ``kind`` does not have."""
    known = [f.name for f in fields(kind)]
    for name in data:
        if name not in known:
            raise ValueError(f"recipe.{name}: {unknown('recipe key', name, known)}")


@dataclass(frozen=True)
class RecipeSpace:
    """A recipe with free parameters: each key is a value, a :class:`Choice` or a :class:`Range`.

    ``kind`` is the class of the recipes that :meth:`fill` returns.
    """

    entries: tuple[tuple[str, Any], ...]
    kind: type[Recipe] = Recipe

    @classmethod
    def of(cls, kind: type[Recipe] = Recipe, /, **entries: Any) -> "RecipeSpace":
        """Return the space with these ``entries``; all other keys have the defaults of the recipe.

        A list or tuple is a choice, a table as in a search file a range or a choice with weights. Every option is
        checked like a value of the recipe. Raises ``ValueError`` for an unknown key and for an option out of range.
        """
        entries = _resolve_auto_lr(entries)
        _check_keys(kind, entries)
        return cls(tuple((name, _entry(kind, name, value)) for name, value in entries.items()), kind)

    @property
    def free_parameters(self) -> dict[str, Choice | Range]:
        """The free parameters by key; all other keys are fixed."""
        return {name: domain for name, domain in self.entries if isinstance(domain, Choice | Range)}

    def largest(self, name: str) -> int:
        """Return the largest value of the integer key ``name``; its default if the key is not an entry."""
        return int(max(self.ends(name)))

    def ends(self, name: str) -> tuple[Any, ...]:
        """Return the options of the key ``name``, or the two bounds of its range, or its value if it is fixed."""
        return _options_or_bounds(dict(self.entries).get(name, getattr(self.kind, name)))

    def fill(self, values: Mapping[str, Any]) -> Recipe:
        """Return the recipe with ``values[key]`` for each free parameter.

        A free parameter that has no effect (``conditions`` of the recipe) gets its first option or its lower bound.
        """
        domains = self.free_parameters
        filled = {name: values[name] if name in domains else value for name, value in self.entries}
        recipe = self.kind(**filled)
        unused = self.without_effect(recipe)
        return replace(recipe, **{name: _options_or_bounds(domains[name])[0] for name in unused}) if unused else recipe

    def without_effect(self, recipe: Recipe) -> list[str]:
        """Return the free parameters that have no effect with the other values of ``recipe``."""
        conditions = self.kind.conditions
        return [name for name in self.free_parameters if name in conditions and not conditions[name](vars(recipe))]


def _entry(kind: type[Recipe], name: str, value: Any) -> Any:
    """Return the checked entry of a space: a list becomes a choice, a range of an integer key an integer range."""
    if name == "class_weights" and isinstance(value, Mapping) and isinstance(value.get("options"), list):
        value = parameter_of_table(name, {**value, "options": list(map(as_text, value["options"]))})
    elif isinstance(value, Mapping) and name != "class_weights":  # a table of class weights is a value
        value = parameter_of_table(name, value)
    if isinstance(value, list | tuple):
        value = _options(name, map(as_text, value) if name == "class_weights" else value)
    elif name == "class_weights":
        value = as_text(value)
    # a range in a search file does not state whether it is for integers; the key does
    if isinstance(value, Range) and _type_of(kind, name) is int:
        value = _integer_range(name, value)
    if isinstance(value, Range) and _type_of(kind, name) not in (int, float):
        raise ValueError(
            f"recipe.{name} must be {kind.constraints[name].description}, but got a range; give a list of options"
        )
    for option in _values(value):
        _check(kind, name, option)
    return value


def _integer_range(name: str, value: Range) -> Range:
    try:
        return replace(value, integer=True)
    except ValueError as error:  # its prior is a fraction
        raise ValueError(f"recipe.{name}: {error}") from None


def _values(value: Any) -> Iterable[Any]:
    """Return the values to check: all integers of a range, because some may be even; the bounds of other ranges."""
    if isinstance(value, Range) and value.integer and value.high - value.low <= MAX_CHECKED_INTEGERS:
        return range(int(value.low), int(value.high) + 1)
    return _options_or_bounds(value)


def _options(name: str, values: Iterable[Any]) -> Choice:
    try:
        return Choice(tuple(values))
    except ValueError as error:
        raise ValueError(f"recipe.{name}: {error}") from None


def _options_or_bounds(value: Any) -> tuple[Any, ...]:
    if isinstance(value, Choice):
        return value.options
    return (value.low, value.high) if isinstance(value, Range) else (value,)
