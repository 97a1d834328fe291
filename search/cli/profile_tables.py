"""Tables of profiles: the modules of a network, what counters say of it, what it took to run."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from ...spaces.architectures.budget import format_count
from .tables import UNITS, share, table

if TYPE_CHECKING:  # records of models/, which loads torch
    from ...models.profiling.latency import Measurement
    from ...models.profiling.records import Difference, ModuleProfile, NotCounted, Witness
    from ...spaces.blocks.cost import Cost


def profile_texts(profile: "ModuleProfile", title: str) -> list[str]:
    """The profile of a built network: a row a module, the totals by their names, what is not counted."""
    headers = ("module", "kind", "calls", "out_shape", "params", "share", "macs", "share")
    whole = profile.total_macs
    rows = [
        (
            row.name,
            row.kind,
            row.calls,
            "x".join(map(str, row.out_shape)),
            f"{row.params:,}",
            share(row.params, profile.params),
            f"{row.macs:,}",
            share(row.macs, whole),
        )
        for row in profile.modules
    ]
    frozen = profile.params_total - profile.params
    totals = [
        f"params {profile.params:,}" + (f" and {frozen:,} frozen" if frozen else ""),
        f"macs {profile.macs:,}: convolutions and linear layers",
        f"attention_macs {profile.attention_macs:,}: products of two activations",
        f"other_macs {profile.other_macs:,}",
        f"total_macs {whole:,}: half of torch's FLOP counter (on {profile.device})",
        f"activations {profile.activations:,}",
    ]
    texts = [table(title, headers, rows, left=("module", "kind")), *totals, *_not_counted(profile.not_counted, "torch")]
    texts += [f"note: {note}" for note in profile.notes]
    if profile.witness:
        texts += witness_texts(profile.witness, whole)
    return [*texts, UNITS]


def witness_texts(witness: "Witness", ours: int) -> list[str]:
    """What a witness says beside ``ours``, and each difference with its reason."""
    said = f"witness {witness.name} {witness.version}: macs {witness.total_macs:,}, ours {ours:,}"
    if not witness.differences:
        return [f"{said}: the same"]
    differences = _differences(witness.differences, f"{said}, apart {witness.total_macs - ours:+,}")
    return ["", differences, *_not_counted(witness.not_counted, witness.name)]


def _differences(rows: Sequence["Difference"], title: str) -> str:
    headers = ("operator", "ours", "theirs", "why")
    cells = [(row.operator, f"{row.ours:,}", f"{row.theirs:,}", row.why) for row in rows]
    return table(title, headers, cells, left=("operator", "why"))


def _not_counted(rows: Iterable["NotCounted"], counter: str) -> list[str]:
    """One line a reason, as in "not counted by torch (activation): 17 aten.relu_"."""
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row.why, []).append(f"{row.calls} {row.operator}")
    return [f"not counted by {counter} ({why}): {', '.join(names)}" for why, names in found.items()]


def saved_words(remove: Sequence[int], saved: Mapping[str, float], whole: "Cost") -> str:
    """What the removed layers cost, as a share of the whole network."""
    return (
        f"without layers {', '.join(map(str, remove))}: saved params {saved['params']:,} of {whole.params:,} "
        f"({saved['params_share']:.1%}), macs {saved['macs']:,} of {whole.macs:,} ({saved['macs_share']:.1%})"
    )


def measured_words(found: "Measurement") -> str:
    """The measurement in a line, with what it was measured on."""
    peak = "" if found.peak_memory_bytes is None else f", peak memory {format_count(found.peak_memory_bytes)}B"
    threads = f", {found.threads} threads" if found.device == "cpu" else ""
    return (
        f"latency_ms p50 {found.latency_ms_p50:.2f}, p90 {found.latency_ms_p90:.2f}{peak} "
        f"(batch {found.batch_size}, {found.precision}, n = {found.n} after {found.warmup} to warm up, "
        f"{found.machine}{threads}, torch {found.torch})"
    )
