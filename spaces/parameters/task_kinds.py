"""Tasks: what the networks of a search are to learn, as its data say."""

from collections.abc import Mapping
from typing import Any

CLASSIFICATION = "classification"
ZERO_SHOT = "zero-shot"
WITH_TEXTS = ("glyphs", "cub-200", "flowers102")  # data sets that are of no other use here


def task_name(data: Mapping[str, Any]) -> str:
    """The task of a search file's ``[data]``: zero-shot where its classes have texts."""
    return ZERO_SHOT if data.get("texts") is not None or data.get("name") in WITH_TEXTS else CLASSIFICATION
