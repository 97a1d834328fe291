"""The types of what public functions get and return, for type checkers: ``av.Trial`` and others."""

from ...models.data.dataset import Request
from ...models.training.training_job import TrainingJob
from ...results.database.records import History, Trial
from ...spaces.constrained.constrained_space import ConstrainedSpace
from ..searchers.base import Proposal
from .model import Model
from .replay import Replay, ReplayedEpoch
from .results import Results, Trials
from .searching import Callback, SearchResult

__all__ = [
    "Callback",
    "ConstrainedSpace",
    "History",
    "Model",
    "Proposal",
    "Replay",
    "ReplayedEpoch",
    "Request",
    "Results",
    "SearchResult",
    "TrainingJob",
    "Trial",
    "Trials",
]
