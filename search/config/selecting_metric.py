"""The metrics of ``[search]``: the one that selects, and those that are recorded with it."""

from ...models.quantization.packages import INT8_PACKAGES, require
from ...spaces.metrics.registry import before_int8, metric_names
from ...spaces.metrics.selection import Selection
from ...spaces.parameters.lookup import unknown
from .schema import SearchFile


def selection_of(file: SearchFile) -> Selection:
    """Return the metrics of ``[search]``.

    Raises ``ValueError`` for a name that is not a metric, for one that nothing computes, and for a metric in int8 with
    a scheduler, which needs the metric after every epoch.
    """
    search = file.search
    selection = _selection(file)
    if selection.reported and file.train.function is None:
        raise ValueError(
            f"search.metric: {unknown('metric', search.metric, metric_names())}; search.direction is for a metric that "
            "train.function reports, but train.function is not set: set it, or register the metric with "
            "av.register_metric"
        )
    if search.minimized is not None and tuple(search.minimized) != selection.minimized:
        raise ValueError(
            "search.minimized must be the metrics of which a lower value is better, "
            f"{list(selection.minimized)}, but got {search.minimized}; register them with the direction that the run "
            "has recorded, or leave the key out of a new search file"
        )
    return selection


def check_packages(selection: Selection) -> None:
    """Raise ``ValueError`` where the metric that selects needs a package that is not installed."""
    if selection.in_int8:
        require(f'search.metric = "{selection.metric}"', INT8_PACKAGES, "devices")


def _selection(file: SearchFile) -> Selection:
    search, key = file.search, "metric"
    float_name = before_int8(search.metric)
    metric = search.metric if float_name is None else float_name
    try:
        selection = Selection.of(metric, direction=search.direction)
        if float_name is not None:
            _check_int8(file)
            selection.with_int8()
        key = "record_metrics"
        others = [name for name in search.record_metrics if name not in selection.reported]
        selection = Selection.of(metric, others, search.direction)
        return selection if float_name is None else selection.with_int8()
    except ValueError as error:
        hint = "; or set search.direction if only train.function reports it" if _may_be_reported(file, key) else ""
        raise ValueError(f"search.{key}: {error}{hint}") from None


def _check_int8(file: SearchFile) -> None:
    metric, scheduler = file.search.metric, file.search.scheduler
    if scheduler != "none":
        raise ValueError(
            f"{metric} is measured once, after the last epoch of a trial, but scheduler = {scheduler!r} needs a metric "
            f'of every epoch; set scheduler = "none", or use metric = "{before_int8(metric)}"'
        )


def _may_be_reported(file: SearchFile, key: str) -> bool:
    return key == "metric" and file.train.function is not None and file.search.direction is None
