"""The metric that selects in one search, and the metrics that are recorded with it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .registry import (
    ACCURACY,
    BUILT_IN,
    MIN_CLASSES_FOR_TOP_5,
    TOP_5,
    TOP_K,
    Metric,
    before_int8,
    check_own_name,
    find_metric,
    int8_name,
    is_metric,
    metric_label,
    stored_name,
    top_k,
)

REPORT_ARGUMENTS = ("self", "predictions")  # of a training job, and those in RESERVED
MAXIMIZE, MINIMIZE = "maximize", "minimize"
MINIMIZED = frozenset(name for name, metric in BUILT_IN.items() if not metric.higher_is_better)


@dataclass(frozen=True)
class Selection:
    """Which metric selects epochs and trials, and which others are recorded.

    ``minimized`` are the names of the metrics of which a lower value is better. ``reported`` are those that only a
    training function of the user computes, such as the mIoU of its own masks: they have no value on the test images. A
    selection holds names only: it is read from a database without the functions of custom metrics. A ``metric`` in
    int8, such as ``int8_val_accuracy``, is measured once for each trial: it selects trials, and :attr:`of_epochs`
    selects epochs.
    """

    metric: str = ACCURACY
    others: tuple[str, ...] = ()
    minimized: tuple[str, ...] = ()
    reported: tuple[str, ...] = ()

    @classmethod
    def of(cls, metric: str, others: Sequence[str] = (), direction: str | None = None) -> "Selection":
        """Return the checked selection of these names.

        With a ``direction``, "maximize" or "minimize", ``metric`` may be one that only a training function reports.
        Raises ``ValueError`` for a name that is not a metric, and for a direction that is not that of the metric.
        """
        is_reported = direction is not None and _is_own(metric)
        chosen = Metric(metric, metric, direction == MAXIMIZE) if is_reported else find_metric(metric)
        _check_direction(chosen, direction)
        recorded = [find_metric(name) for name in others]
        names = [one.name for one in recorded]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"each metric must be named once, but {name!r} is named twice; remove one")
        known = {one.name: one for one in (chosen, *recorded)}
        lower = tuple(name for name, one in known.items() if not one.higher_is_better)
        reported = (chosen.name,) if is_reported else ()
        return cls(chosen.name, tuple(name for name in names if name != chosen.name), lower, reported)

    def with_int8(self) -> "Selection":
        """Return the selection of trials by the same metric of the network in int8.

        Raises ``ValueError`` for a metric that only a training function computes: it has no value in int8.
        """
        if self.reported:
            raise ValueError(
                f"only a metric that is computed from labels and scores has a value in int8, but {self.metric!r} is "
                "reported by train.function; use int8_val_accuracy, or register the metric with av.register_metric"
            )
        return replace(self, metric=int8_name(self.metric))

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Selection":
        """Return the selection in the settings of a run; runs of version 0.1.0 and of other tools have none."""
        search = config.get("search")
        if not isinstance(search, Mapping) or "metric" not in search:
            return cls()
        others = tuple(search.get("record_metrics", ()))
        return cls(search["metric"], others, tuple(search.get("minimized", ())))

    def to_json(self) -> dict[str, Any]:
        """Return the keys of ``[search]`` that a run records."""
        return {"metric": self.metric, "record_metrics": list(self.others), "minimized": list(self.minimized)}

    @property
    def in_int8(self) -> bool:
        """Whether trials are selected by a metric of the network in int8."""
        return before_int8(self.metric) is not None

    @property
    def of_epochs(self) -> "Selection":
        """The selection of the best epoch of a trial: by the metric in float32, which each epoch has."""
        return replace(self, metric=before_int8(self.metric) or self.metric)

    @property
    def recorded(self) -> tuple[str, ...]:
        """The metrics of each epoch; the accuracy is always recorded."""
        return tuple(name for name in (self.of_epochs.metric, *self.others) if name != ACCURACY)

    @property
    def computed(self) -> tuple[str, ...]:
        """The recorded metrics that are computed from labels and class scores."""
        return tuple(name for name in self.recorded if name not in self.reported)

    def on_test(self, n_classes: int, *, multi_label: bool = False) -> tuple[str, ...]:
        """The metrics that are measured once on the test images: those that are computed, and the top-5 accuracy."""
        top_5 = () if multi_label or n_classes < MIN_CLASSES_FOR_TOP_5 or TOP_K in self.computed else (TOP_5,)
        return tuple(dict.fromkeys((*self.computed, *top_5)))

    @property
    def stored_name(self) -> str:
        """The name of the selecting metric in the database."""
        return stored_name(self.metric)

    @property
    def label(self) -> str:
        """How a text calls the selecting metric, on validation images."""
        return f"validation {metric_label(self.metric)}"

    @property
    def higher_is_better(self) -> bool:
        """Whether a higher value of the selecting metric is better."""
        return not is_minimized(self.metric, self.minimized)

    def score(self, values: Mapping[str, float | None]) -> float | None:
        """Return the value to maximise from ``values`` by their stored names; None if there is no finite value."""
        value = values.get(self.stored_name)
        if value is None or not math.isfinite(value):
            return None
        return value if self.higher_is_better else -value

    def check_classes(self, n_classes: int, *, multi_label: bool = False) -> None:
        """Raise ``ValueError`` for a metric that is not defined for this number of classes, or this kind of labels."""
        for name in self.computed:
            _check_kind(name, multi_label)
            k = top_k(name)
            if k is not None and k >= n_classes:
                use = f"top_{n_classes - 1}_accuracy" if n_classes > 2 else ACCURACY
                raise ValueError(f"{name} needs more than {k} classes, but the data have {n_classes}; use {use}")
            if name in BUILT_IN and BUILT_IN[name].binary and n_classes != 2:
                raise ValueError(f"{name} needs exactly two classes, but the data have {n_classes}; use {name}_macro")

    def check_constant(self, always: Sequence[str], where: str) -> None:
        """Raise ``ValueError`` where images have several labels and every image has one of the classes ``always``.

        ``where`` names the images: "validation" or "test".
        """
        if "roc_auc" in self.computed and always:
            raise ValueError(
                f"roc_auc needs {where} images without each class, but all of them have class {always[0]!r}; add "
                "images, remove the class, or use average_precision"
            )

    def check_labels(self, present: Sequence[bool], where: str) -> None:
        """Raise ``ValueError`` for a metric that cannot be computed on labels with the classes ``present``.

        ``present`` has one entry for each class; ``where`` names the images: "validation" or "test".
        """
        cure = f"add images, raise data.{'val' if where == 'validation' else where}_fraction"
        for name in self.computed:
            if sum(present) < 2:
                raise ValueError(
                    f"{name} needs {where} images of at least two classes, but the number of classes is "
                    f"{sum(present)}; {cure}, or use the accuracy"
                )
            if name in BUILT_IN and BUILT_IN[name].every_class and not all(present):
                missing = [index for index, one in enumerate(present) if not one]
                raise ValueError(
                    f"{name} needs {where} images of every class, but class {missing[0]} has none; {cure}, or use "
                    "another metric"
                )


BY_ACCURACY = Selection()


def _check_kind(name: str, multi_label: bool) -> None:
    metric = find_metric(name)
    if multi_label and not metric.multi_label:
        raise ValueError(
            f"{name} is for images with one label each, but these have several; use one of "
            f"{', '.join(known.name for known in BUILT_IN.values() if known.multi_label)}"
        )
    if not multi_label and not metric.single_label:
        other = ACCURACY if name == "f1_micro" else "f1_macro"
        raise ValueError(f"{name} is for images with several labels, but these have one label each; use {other}")


def _is_own(name: str) -> bool:
    """Return whether ``name`` is no known metric; raise ``ValueError`` if no metric can have this name."""
    if is_metric(name) or name.startswith("test_"):
        return False
    check_own_name(name)
    if name in REPORT_ARGUMENTS:
        raise ValueError(f"a metric must not be named as another argument of report(), but got {name!r}; rename it")
    return True


def _check_direction(metric: Metric, direction: str | None) -> None:
    known = MAXIMIZE if metric.higher_is_better else MINIMIZE
    if direction not in (None, known):
        raise ValueError(f"the direction of {metric.name} is {known!r}, but got {direction!r}; leave direction out")


def is_minimized(name: str, minimized: Sequence[str] = ()) -> bool:
    """Return whether a lower value of the metric ``name`` is better; ``minimized`` are those that a run recorded."""
    name = before_int8(name) or name
    return name in MINIMIZED or name in minimized
