"""The table of networks: what is published about each network of timm and torchvision, and its costs by image size.

``benchmarks/network_table.py`` measures the networks on the meta device and writes ``networks.csv.gz``. Accuracies are
those that torchvision publishes with its weights; the package of timm has none.
"""

import csv
import gzip
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import NamedTuple

from ..blocks.backbone import Network

TABLE = Path(__file__).with_name("networks.csv.gz")
COLUMNS = (
    *("name", "family", "depth", "channels", "size", "mean", "std", "interpolation", "crop_pct", "tag", "top1"),
    *("features", "costs", "refused"),
)


class SizeCosts(NamedTuple):
    """The costs of a network without its classifier on one image of one size.

    ``params`` depends on the size where there is a weight for each position. ``conv_macs``, ``linear_macs`` and
    ``attention_macs`` are the multiply-accumulates of convolutions, of linear layers, and of products of two
    activations. ``peak_bytes`` are the most float32 bytes of feature maps that inference holds at a time.
    """

    params: int
    conv_macs: int
    linear_macs: int
    attention_macs: int
    activations: int
    kept_bytes: int
    peak_bytes: int

    @property
    def macs(self) -> int:
        """All multiply-accumulates."""
        return self.conv_macs + self.linear_macs + self.attention_macs


@dataclass(frozen=True)
class PublishedNetwork:
    """A network of timm or torchvision.

    ``depth`` is the number of convolutions and linear layers. ``size`` is the published side of its images; ``mean``
    and ``std`` of pixels in [0, 1], ``interpolation`` and ``crop_pct`` belong to it: the shorter side of an image is
    resized to floor(size / ``crop_pct``) pixels, and the middle is cut out. ``tag`` names the published weights and is
    empty if there are none. ``top1`` is their accuracy on ImageNet in percent, where it is published. ``refused`` says
    why a network cannot be used; such a network has no costs.
    """

    name: str
    family: str
    depth: int
    channels: int
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str
    crop_pct: float
    tag: str
    top1: float | None
    features: int
    costs_text: str
    refused: str

    @property
    def source(self) -> str:
        """The package of the network: timm or torchvision."""
        return self.name.partition(":")[0]

    @cached_property
    def costs(self) -> Mapping[int, SizeCosts]:
        """The measured costs by image size."""
        entries = (entry.split(":") for entry in self.costs_text.split(";") if entry)
        return {int(size): SizeCosts(*map(int, values)) for size, *values in entries}

    def block(self, size: int) -> Network:
        """Return the network as a block for images of ``size``; raise ``ValueError`` for a size without costs."""
        if size not in self.costs:
            raise ValueError(
                f"the costs of {self.name} are known for images of {', '.join(map(str, sorted(self.costs)))} pixels, "
                f"but got {size}; use one of these sizes"
            )
        costs = self.costs[size]
        return Network(
            self.name,
            size,
            self.interpolation,
            self.channels,
            self.features,
            costs.params,
            costs.macs,
            costs.activations,
            costs.kept_bytes,
        )


@lru_cache(maxsize=1)
def network_table() -> Mapping[str, PublishedNetwork]:
    """Return every network by its name, as in "timm:resnet18"."""
    with gzip.open(TABLE, "rt", encoding="utf-8", newline="") as file:
        rows = csv.DictReader(line for line in file if not line.startswith("#"))
        return {row["name"]: _network(row) for row in rows}


def table_versions() -> Mapping[str, str]:
    """Return the versions of the packages whose networks were measured, by the name of the package."""
    with gzip.open(TABLE, "rt", encoding="utf-8") as file:
        return dict(re.findall(r"(\w+) ([\d.]+)", file.readline()))


def _network(row: Mapping[str, str]) -> PublishedNetwork:
    mean, std = (tuple(map(float, row[name].split())) for name in ("mean", "std"))
    return PublishedNetwork(
        row["name"],
        row["family"],
        int(row["depth"]),
        int(row["channels"]),
        int(row["size"]),
        mean,
        std,
        row["interpolation"],
        float(row["crop_pct"] or 1),
        row["tag"],
        float(row["top1"]) if row["top1"] else None,
        int(row["features"]),
        row["costs"],
        row["refused"],
    )
