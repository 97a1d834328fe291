"""RAM and flash of a network on a device, as JSON and as a line of text."""

from collections.abc import Sequence
from typing import Any

from ...spaces.architectures.architecture import Architecture
from ...spaces.architectures.budget import format_count
from ...spaces.architectures.cost import LayerRow, layer_costs
from ...spaces.architectures.device_cost import device_cost, layer_ram_bytes
from ...spaces.architectures.runtimes import UnknownLayerError


def device_output(architecture: Architecture, precision: str) -> tuple[dict[str, Any], Sequence[int | None], str]:
    """Return RAM and flash as JSON, the RAM of each layer, and one line of text; None for what is not known."""
    rows = layer_costs(architecture)
    try:
        cost, ram = device_cost(architecture, precision), layer_ram_bytes(architecture, precision)
    except UnknownLayerError as error:
        unknown = {"precision": precision, "ram_bytes": None, "flash_bytes": None, "ram_peak": None}
        return unknown, [None] * len(rows), f"ram and flash: not known; {error}"
    peak = rows[ram.index(cost.ram_bytes)]
    values = {"precision": precision, **cost._asdict(), "ram_peak": peak.name}
    return values, ram, _line(cost.ram_bytes, cost.flash_bytes, precision, peak)


def _line(ram_bytes: int, flash_bytes: int, precision: str, peak: LayerRow) -> str:
    block = f", block {peak.block}" if peak.block != "output" else ""
    return (
        f"in {precision}: ram {format_count(ram_bytes)}B, the peak is at {peak.name}{block}; "
        f"flash {format_count(flash_bytes)}B"
    )
