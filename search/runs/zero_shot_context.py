"""The inputs that the remote jobs of the zero-shot final step share."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ...models.data.class_folds import ClassFolds
    from ...models.data.zero_shot import ZeroShotData


@dataclass(frozen=True)
class JobContext:
    """The inputs that all jobs share.

    Args:
        data: all classes.
        folds: the folds of the seen classes.
        texts: the kinds of text vectors from which each baseline chooses.
        cpus: cores of one job.
        gpus: GPUs of one job, or a fraction of one.
        precision: fp32 or bf16.
        explained: number of unseen classes to explain.
        programme: solve gpr+da by its quadratic programme instead of late fusion.
        architecture: the architecture of the chosen design, as JSON, and its ``seed``.
    """

    data: "ZeroShotData"
    folds: "ClassFolds"
    texts: tuple[str, ...]
    cpus: float
    gpus: float
    precision: str
    explained: int
    programme: bool
    architecture: Mapping[str, Any]
    seed: int
