"""The registered parts that a search uses: its blocks, data set, metrics and searcher."""

from collections.abc import Mapping
from typing import Any, cast

from ...spaces.architectures.recorded import kinds_of
from ...spaces.blocks.standard import BLOCKS
from ...spaces.metrics.registry import custom_metrics
from ...spaces.parameters.user_code import module_of
from ...spaces.search_space.space import Space
from ..config.schema import SearchFile
from ..config.train_section import BUILT_IN_TRAINING, TrainSection


def registries(train: TrainSection = BUILT_IN_TRAINING) -> dict[str, Mapping[str, Any]]:
    """Return everything that is registered in this process, by kind and name, and the functions of ``train``.

    Of the latter only those of a script or a notebook: the others belong to modules that the search file names.
    """
    from ...models.data.registry import DATASETS
    from ..plugins.references import functions_of_scripts
    from ..searchers.registry import SEARCHERS

    metrics = {name: metric.function for name, metric in custom_metrics().items()}
    functions = functions_of_scripts(train.references)
    kinds = {"blocks": BLOCKS, "datasets": DATASETS, "metrics": metrics, "searchers": SEARCHERS, "functions": functions}
    return cast("dict[str, Mapping[str, Any]]", kinds)


def used_parts(file: SearchFile, space: Space) -> dict[str, dict[str, Any]]:
    """Return the classes and functions that a search uses, by kind and name."""
    used = {
        "blocks": set(kinds_of(space.to_json())),
        "datasets": {file.data.name},
        "metrics": {file.search.metric, *file.search.record_metrics},
        "searchers": {file.search.searcher},
        "functions": set(file.train.references.values()),
    }
    return {
        kind: {name: registry[name] for name in used[kind] if name in registry}
        for kind, registry in registries(file.train).items()
    }


def registered_records(file: SearchFile, space: Space) -> dict[str, dict[str, Any]]:
    """Return what a run records of the modules of the parts that it uses but its search file does not name."""
    from ..plugins.registered import records_of

    registered = [part for registry in registries(file.train).values() for part in registry.values()]
    if all(module_of(part) is None for part in registered):  # the usual case, without writing out the space
        return {}
    named = {module.partition(".")[0] for module in file.plugins.modules}
    return records_of(used_parts(file, space), named)
