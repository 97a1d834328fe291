"""The errors that functions of archsieve raise: ``av.errors``."""

from ...models.image_files.errors import DataError
from ...results.database.errors import RunExistsError, StoreError
from ...spaces.blocks.base import ShapeError
from ...spaces.constrained.constrained_space import BudgetError
from ...spaces.parameters.user_code import PluginError
from ..cluster.errors import ResourceError
from .searching import SearchFailedError

__all__ = [
    "BudgetError",
    "DataError",
    "PluginError",
    "ResourceError",
    "RunExistsError",
    "SearchFailedError",
    "ShapeError",
    "StoreError",
]
