"""Kinds of tasks: classification, or zero-shot classification where classes have texts."""

from collections.abc import Mapping
from typing import Any

CLASSIFICATION = "classification"
MULTI_LABEL = "multi-label"  # in a model file: classification where an image may have several labels
ZERO_SHOT = "zero-shot"
DATASETS_WITH_TEXTS = (
    "glyphs",
    "cub-200",
    "flowers102",
    "features",
)  # data sets that always come with texts: only for zero-shot tasks


def task_name(data: Mapping[str, Any]) -> str:
    """Return the task of the section ``[data]`` of a search file: zero-shot if its classes have texts."""
    return ZERO_SHOT if data.get("texts") is not None or data.get("name") in DATASETS_WITH_TEXTS else CLASSIFICATION
