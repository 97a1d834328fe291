"""The search file of a stored run, as this version reads it."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from ...models.data.shapes import WITHOUT_FILES
from ...results.database.records import IMPORTED, RunRecord
from ...spaces.parameters.lookup import shorten
from ..config.schema import SearchFile

BEFORE_AUTO: Mapping[str, Any] = {"interpolation": "bilinear", "crop_pct": 1.0}  # of [data], in runs without these keys


def search_file_of(run: RunRecord) -> SearchFile:
    """Return the search file of ``run``; raise ``ValueError`` for a run of another tool, which has none."""
    if IMPORTED in run.config:
        raise ValueError(
            f"run {run.name!r} was imported from {run.config[IMPORTED]} and has no search file: its results can be "
            "queried, but its networks cannot be trained; write a search file with archsieve init and list the best "
            "networks in search.start_from"
        )
    try:
        return SearchFile.model_validate(stored_settings(run.config))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key, reason = ".".join(map(str, first["loc"])), first["msg"]
        raise ValueError(
            shorten(
                f"the settings of run {run.name!r} must be those of a search file, but {key}: {reason}; upgrade "
                "archsieve, or restore a backup of the database"
            )
        ) from None


def stored_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a stored run, with what older versions did where they recorded no choice.

    A run of version 0.1.0 has decoding rules 1. A run from before there was a standard prior has none, and one from
    before gp learned from timed trials goes by the predicted latency, so that they continue with the same proposals.
    Images were resized alike for every network before networks had their own interpolation and crop.
    """
    defaults: dict[str, dict[str, Any]] = {
        "data": {"decoding_rules": 1},
        "search": {"prior": "none"},
        "latency": {"feasibility": "predicted"},
    }
    data = config.get("data", {})
    if isinstance(data, Mapping) and data.get("name") not in WITHOUT_FILES:
        defaults["data"] |= BEFORE_AUTO
    # a section that is no table is left as it is, so that the check of the settings names it
    tables = {name: config.get(name, {}) for name in defaults}
    added = {name: {**defaults[name], **table} for name, table in tables.items() if isinstance(table, Mapping)}
    return {**config, **added}
