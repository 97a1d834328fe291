"""The training recipe as a value, and as a space."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, ClassVar, Self

from ..parameters.constraints import Constraint, boolean, check, one_of, positive_int, real
from ..parameters.domains import Choice, Range
from ..parameters.lookup import unknown

OPTIMIZERS = ("sgd", "adam", "adamw")
SCHEDULES = ("cosine", "step", "one-cycle", "constant")
AUGMENTATIONS = ("none", "shift", "shift-flip", "standard")
INITS = ("he", "glorot")
AVERAGINGS = ("none", "ema", "swa")
AUXILIARIES = ("none", "rotation", "reconstruction")
ENOUGH_DECAY = 0.01  # the end of a schedule, in parts of its start: the lecture's "factor of 100 or more"
AUTO = "auto"
AUTO_START_LR = 1.0  # the first that is tried where lr is "auto"

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
}

# Keys that mean something only beside others: elsewhere a recipe has one value of them, so that none is tried twice.
CONDITIONS: dict[str, Callable[[Mapping[str, Any]], bool]] = {
    "elastic_sigma_px": lambda recipe: recipe["elastic_alpha_px"] > 0,
    "ema_decay": lambda recipe: recipe["averaging"] == "ema",
    "swa_start": lambda recipe: recipe["averaging"] == "swa",
    "auxiliary_weight": lambda recipe: recipe["auxiliary"] != "none",
}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How one network is trained. The defaults are stochastic gradient descent with momentum.

    ``lr`` is the peak learning rate; every schedule but ``constant`` ends at ``lr * lr_end``. ``weight_decay`` is
    the optimizer's own (an L2 term for sgd and adam, decoupled for adamw) on weights of convolutions and linear layers,
    and on biases and norms where ``decay_norms``. ``dropout`` stands before each fully connected layer. With
    ``find_lr`` the peak is the first of lr, lr / 2, lr / 4, ... that trains (``lr = "auto"`` in a search file begins
    at 1). All keys, with their units and papers, are in ``docs/recipe.md``.
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

    constraints: ClassVar[dict[str, Constraint]] = CONSTRAINTS

    def __post_init__(self) -> None:
        for f in fields(self):
            _check(type(self), f.name, getattr(self, f.name))

    def to_json(self) -> dict[str, Any]:
        """The recipe as JSON's own types."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The recipe that ``to_json`` wrote; unknown keys are refused, the nearest named."""
        data = _said(data)
        _known_keys(cls, data)
        return cls(**data)


def _said(data: Mapping[str, Any]) -> dict[str, Any]:
    """``data`` with ``lr = "auto"`` in the recipe's own words."""
    return {**data, "lr": AUTO_START_LR, "find_lr": True} if data.get("lr") == AUTO else dict(data)


def _type_of(kind: type[Recipe], name: str) -> type:
    """The type of a key: that of its default."""
    return type(getattr(kind, name))


def _check(kind: type[Recipe], name: str, value: Any) -> None:
    if not kind.constraints[name].holds(value):
        check(kind.constraints[name], value, f"recipe.{name}")


def _known_keys(kind: type[Recipe], data: Mapping[str, Any]) -> None:
    known = [f.name for f in fields(kind)]
    for name in data:
        if name not in known:
            raise ValueError(f"recipe.{name}: {unknown('recipe key', name, known)}")


@dataclass(frozen=True)
class RecipeSpace:
    """A recipe with holes: each key is a value, a :class:`Choice` or a :class:`Range`; ``kind`` is what fills make."""

    entries: tuple[tuple[str, Any], ...]
    kind: type[Recipe] = Recipe

    @classmethod
    def of(cls, kind: type[Recipe] = Recipe, /, **entries: Any) -> "RecipeSpace":
        """The space in which ``entries`` are as given and all other keys have the recipe's defaults.

        A list or tuple is a choice. Every option is checked as the recipe itself would check it.
        """
        entries = _said(entries)
        _known_keys(kind, entries)
        return cls(tuple((name, _entry(kind, name, value)) for name, value in entries.items()), kind)

    @property
    def holes(self) -> dict[str, Choice | Range]:
        """What is searched, by key; the rest is fixed."""
        return {name: hole for name, hole in self.entries if isinstance(hole, Choice | Range)}

    def largest(self, name: str) -> int:
        """The largest value that the whole number ``name`` can take: the default where it is not said."""
        return int(max(self.ends(name)))

    def ends(self, name: str) -> tuple[Any, ...]:
        """The options of ``name``, or the two ends of its range; its one value where it is fixed."""
        return _ends(dict(self.entries).get(name, getattr(self.kind, name)))

    def fill(self, values: Mapping[str, Any]) -> Recipe:
        """The recipe with the value ``values[key]`` in each hole; a hole that does not apply gets its first value."""
        holes = self.holes
        filled = {name: values[name] if name in holes else value for name, value in self.entries}
        recipe = self.kind(**filled)
        idle = [name for name in holes if name in CONDITIONS and not CONDITIONS[name](vars(recipe))]
        return replace(recipe, **{name: _ends(holes[name])[0] for name in idle}) if idle else recipe


def _entry(kind: type[Recipe], name: str, value: Any) -> Any:
    if isinstance(value, list | tuple):
        value = _options(name, value)
    if isinstance(value, Range) and _type_of(kind, name) is int:
        value = Range(value.low, value.high, value.log, integer=True)
    if isinstance(value, Range) and _type_of(kind, name) not in (int, float):
        raise ValueError(
            f"recipe.{name} must be {kind.constraints[name].description}, but got a range; give a list of options"
        )
    for option in _ends(value):
        _check(kind, name, option)
    return value


def _options(name: str, values: Iterable[Any]) -> Choice:
    try:
        return Choice(tuple(values))
    except ValueError as error:
        raise ValueError(f"recipe.{name}: {error}") from None


def _ends(value: Any) -> tuple[Any, ...]:
    if isinstance(value, Choice):
        return value.options
    return (value.low, value.high) if isinstance(value, Range) else (value,)
