"""The metrics of ``[search]``: the one that selects, and those that are recorded with it."""

from ...spaces.metrics.registry import metric_names
from ...spaces.metrics.selection import Selection
from ...spaces.parameters.lookup import unknown
from ..config.schema import SearchFile


def selection_of(file: SearchFile) -> Selection:
    """Return the metrics of ``[search]``.

    Raises ``ValueError`` for a name that is not a metric, and for one that nothing computes.
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


def _selection(file: SearchFile) -> Selection:
    search, key = file.search, "metric"
    try:
        selection = Selection.of(search.metric, direction=search.direction)
        key = "record_metrics"
        others = [name for name in search.record_metrics if name not in selection.reported]
        return Selection.of(search.metric, others, search.direction)
    except ValueError as error:
        hint = "; or set search.direction if only train.function reports it" if _may_be_reported(file, key) else ""
        raise ValueError(f"search.{key}: {error}{hint}") from None


def _may_be_reported(file: SearchFile, key: str) -> bool:
    return key == "metric" and file.train.function is not None and file.search.direction is None
