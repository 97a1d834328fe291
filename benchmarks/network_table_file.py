"""Write the measurements of ``network_table.py`` as the table of the package."""

import csv
import gzip
import io
from collections.abc import Mapping
from typing import Any

from archsieve.spaces.networks.table import COLUMNS, TABLE, SizeCosts

UNBUILT = {  # of a network that cannot be built without its classifier
    **dict.fromkeys(("family", "interpolation", "crop_pct", "tag"), ""),
    **dict.fromkeys(("depth", "channels", "size"), 0),
    **{"mean": (), "std": (), "top1": None},
}


def write(measured: Mapping[tuple[str, int | None], Any], timm: str, torchvision: str) -> None:
    """Write ``networks.csv.gz`` from the measurements by name and size; the same measurements give the same bytes."""
    text = io.StringIO()
    text.write(f"# timm {timm}, torchvision {torchvision}\n")
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for name in sorted({name for name, _ in measured}):
        rows = [row for (other, _), row in measured.items() if other == name]
        writer.writerow(line(name, measured[name, None], rows))
    # without a time stamp
    TABLE.write_bytes(gzip.compress(text.getvalue().encode(), mtime=0))


def line(name: str, own: Mapping[str, Any], rows: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the line of one network; ``own`` is its measurement at the published size."""
    facts, refused = {**UNBUILT, **own.get("facts", {})}, refusal(own)
    costs = {row["shape"][1]: row["costs"] for row in rows if "costs" in row}
    return {
        **{key: facts[key] for key in ("family", "depth", "channels", "size", "interpolation", "crop_pct", "tag")},
        "name": name,
        "mean": " ".join(map(str, facts["mean"])),
        "std": " ".join(map(str, facts["std"])),
        "top1": "" if facts["top1"] is None else facts["top1"],
        "features": own["costs"]["features"] if "costs" in own else 0,
        "costs": "" if refused else ";".join(entry(size, costs[size]) for size in sorted(costs)),
        "refused": refused,
    }


def entry(size: int, costs: Mapping[str, Any]) -> str:
    return ":".join(map(str, (size, *(costs[name] for name in SizeCosts._fields))))


def refusal(own: Mapping[str, Any]) -> str:
    """Return why a network cannot be used, or nothing."""
    if "error" in own:
        return f"the costs cannot be measured ({own['error'].splitlines()[0][:120]})"
    if not own["facts"]["square"]:
        return "the published images are not square"
    if unknown := own["costs"]["unknown"]:
        return f"{', '.join(unknown)} cannot be counted"
    return ""
