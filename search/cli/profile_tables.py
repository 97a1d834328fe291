"""Tables of profiles: modules, counts of other libraries, latency and memory as measured, RAM and flash."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...spaces.architectures.budget import format_count
from ...spaces.architectures.cost import LayerRow, layer_costs
from ...spaces.architectures.device_cost import device_cost, layer_ram_bytes
from ...spaces.architectures.runtimes import UnknownLayerError
from .tables import UNITS, share, table

if TYPE_CHECKING:  # records of models/, which loads torch
    from ...models.profiling.latency import Measurement
    from ...models.profiling.records import CrossCheck, Difference, ModuleProfile, NotCounted
    from ...spaces.architectures.architecture import Architecture
    from ...spaces.blocks.cost import Cost


def profile_texts(profile: "ModuleProfile", title: str) -> list[str]:
    """Return texts on a built network: a table with a row for each module, totals, operators that are not counted."""
    headers = ("module", "kind", "calls", "out_shape", "params", "share", "macs", "share")
    total = profile.total_macs
    rows = [
        (
            row.name,
            row.kind,
            row.calls,
            "x".join(map(str, row.out_shape)),
            f"{row.params:,}",
            share(row.params, profile.params),
            f"{row.macs:,}",
            share(row.macs, total),
        )
        for row in profile.modules
    ]
    frozen = profile.params_total - profile.params  # params counts the trainable ones
    totals = [
        f"params {profile.params:,}" + (f" and {frozen:,} frozen" if frozen else ""),
        f"macs {profile.macs:,}: conv_macs {profile.conv_macs:,}, linear_macs {profile.linear_macs:,}, "
        f"attention_macs {profile.attention_macs:,} (products of two activations)",
        f"total_macs {total:,}: with other_macs {profile.other_macs:,} (counted on {profile.device})",
        f"activations {profile.activations:,}",
    ]
    texts = [table(title, headers, rows, left=("module", "kind")), *totals, *_not_counted(profile.not_counted, "torch")]
    texts += [f"note: {note}" for note in profile.notes]
    if profile.cross_check:
        texts += cross_check_texts(profile.cross_check, total)
    return [*texts, UNITS]


def cross_check_texts(cross_check: "CrossCheck", ours: int) -> list[str]:
    """Return the count of another library next to ours, and the reason of each difference.

    ``ours`` are our multiply-accumulates.
    """
    counts = f"counted by {cross_check.name} {cross_check.version}: macs {cross_check.total_macs:,}, ours {ours:,}"
    if not cross_check.differences:
        return [f"{counts}: equal"]
    differences = _differences(cross_check.differences, f"{counts}, difference {cross_check.total_macs - ours:+,}")
    return ["", differences, *_not_counted(cross_check.not_counted, cross_check.name)]


def _differences(rows: Sequence["Difference"], title: str) -> str:
    headers = ("operator", "ours", "theirs", "why")
    cells = [(row.operator, f"{row.ours:,}", f"{row.theirs:,}", row.why) for row in rows]
    return table(title, headers, cells, left=("operator", "why"))


def _not_counted(rows: Iterable["NotCounted"], counter: str) -> list[str]:
    """Return one line for each reason, such as "not counted by torch (activation): 17 aten.relu_"."""
    operators: dict[str, list[str]] = {}
    for row in rows:
        operators.setdefault(row.why, []).append(f"{row.calls} {row.operator}")
    return [f"not counted by {counter} ({why}): {', '.join(names)}" for why, names in operators.items()]


def saved_line(remove: Sequence[int], saved: Mapping[str, float], whole: "Cost") -> str:
    """Return the costs of the removed layers, also as shares of the whole network."""
    return (
        f"without layers {', '.join(map(str, remove))}: saved params {saved['params']:,} of {whole.params:,} "
        f"({saved['params_share']:.1%}), macs {saved['macs']:,} of {whole.macs:,} ({saved['macs_share']:.1%})"
    )


def measurement_line(measurement: "Measurement") -> str:
    """Return a measurement in one line, with the machine and the settings."""
    peak = (
        "" if measurement.peak_memory_bytes is None else f", peak memory {format_count(measurement.peak_memory_bytes)}B"
    )
    threads = f", {measurement.threads} threads" if measurement.device == "cpu" else ""
    return (
        f"latency_ms p50 {measurement.latency_ms_p50:.2f}, p90 {measurement.latency_ms_p90:.2f}{peak} "
        f"(batch {measurement.batch_size}, {measurement.precision}, n = {measurement.n} after "
        f"{measurement.warmup} warm-up passes, "
        f"{measurement.machine}{threads}, torch {measurement.torch})"
    )


def device_output(architecture: "Architecture", precision: str) -> tuple[dict[str, Any], Sequence[int | None], str]:
    """Return RAM and flash as JSON, the RAM of each layer, and one line of text; unknown numbers are None."""
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
