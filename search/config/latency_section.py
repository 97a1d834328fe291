"""The section ``[latency]`` of a search file: how a forward pass is measured."""

from typing import Literal

from pydantic import Field

from .section import Section

MAX_TIMED = 10_000


class LatencySection(Section):
    """``[latency]``: how the worker that trained a network measures its forward pass."""

    batch_size: int = Field(default=1, ge=1, description="Number of images in a timed batch.")
    warmup: int = Field(default=3, ge=1, description="Number of warm-up passes before the timed ones.")
    n: int = Field(default=50, ge=2, description="Number of timed passes; the result is their median.")
    feasibility: Literal["learned", "predicted"] = Field(
        default="learned",
        description="For gp: whether to learn from timed trials which networks keep budget.latency_ms.",
    )
    calibration: int = Field(
        default=16,
        ge=2,
        le=MAX_TIMED,
        description="Number of untrained networks to time first, if budget.latency_ms is set.",
    )
