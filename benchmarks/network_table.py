"""Measure every network of timm and torchvision on the meta device, and write the tables of spaces/networks/.

A run continues where the last one stopped: each measurement is appended to a file of JSON lines. Example:

    nice -n 15 python benchmarks/network_table.py build/networks.jsonl
    nice -n 15 python benchmarks/network_table.py build/networks.jsonl --sizes 128,160,192,224,256 --max-params 30e6
    python benchmarks/network_table.py build/networks.jsonl --write

Nothing is downloaded. The accuracies are those that torchvision publishes with its weights.
"""

import argparse
import gc
import json
import warnings
from collections.abc import Iterator
from dataclasses import asdict
from fnmatch import fnmatchcase
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from archsieve.models.networks.preprocessing import published_preprocessing
from archsieve.models.profiling.network_costs import network_costs
from archsieve.models.profiling.size_costs import unfilled


def all_names() -> list[str]:
    """Return the names of all classifiers, those with published weights first."""
    import timm
    import torchvision

    with_weights = {name.partition(".")[0] for name in timm.list_models(pretrained=True)}
    timm_names = sorted(timm.list_models(), key=lambda name: (name not in with_weights, name))
    others = torchvision.models.list_models(module=torchvision.models)
    return [*(f"torchvision:{name}" for name in others), *(f"timm:{name}" for name in timm_names)]


def facts(name: str, network: nn.Module) -> dict[str, Any]:
    """Return what is published about a network."""
    prepared = published_preprocessing(name, network)
    source, _, short = name.partition(":")
    described: dict[str, Any] = {
        "size": prepared.size[0],
        "square": prepared.size[0] == prepared.size[1],
        "mean": prepared.mean,
        "std": prepared.std,
        "interpolation": prepared.interpolation,
        "crop_pct": prepared.crop_pct,
        "family": type(network).__module__.rpartition(".")[2],
        "depth": sum(isinstance(module, nn.Conv2d | nn.Linear) for module in network.modules()),
    }
    if source == "timm":
        config: Any = network.pretrained_cfg
        weights = bool(config.get("hf_hub_id") or config.get("url") or config.get("file"))
        return {
            **described,
            "channels": config["input_size"][0],
            "fixed": bool(config.get("fixed_input_size")),
            "tag": (config.get("tag") or "published") if weights else "",
            "top1": None,
        }
    import torchvision

    best = torchvision.models.get_model_weights(short).DEFAULT
    top1 = best.meta["_metrics"]["ImageNet-1K"]["acc@1"]
    return {**described, "channels": 3, "fixed": short.startswith("vit_"), "tag": best.name, "top1": top1}


def measure(name: str, size: int | None) -> dict[str, Any]:
    """Return the facts and the costs of one network at one size, or the reason why it cannot be measured."""
    row: dict[str, Any] = {"name": name, "asked": size}
    try:
        network = unfilled(name, size)
        row |= {"facts": facts(name, network)}
        side = size or row["facts"]["size"]
        if name.startswith("torchvision:vit_"):  # it is built for 224 pixels, where its weights may be for more
            network = unfilled(name, side)
        shape = (row["facts"]["channels"], side, side)
        return row | {"shape": shape, "costs": asdict(network_costs(network, shape))}
    except Exception as error:  # each of 1,400 networks has its own reasons
        return row | {"error": f"{type(error).__name__}: {error}"[:300]}


def wanted(
    done: dict[tuple[str, int | None], Any], sizes: list[int | None], limit: float, patterns: str
) -> Iterator[tuple[str, Any]]:
    """Yield the measurements of ``patterns`` that are not done, pattern by pattern.

    Other sizes are measured only of networks with weights that have fewer parameters than ``limit``.
    """
    names = all_names()
    for name in dict.fromkeys(name for pattern in patterns.split(",") for name in names if fnmatchcase(name, pattern)):
        own = done.get((name, None), {})
        known = own.get("facts", {})
        for size in sizes:
            small = size is None or (known.get("tag") and own.get("costs", {}).get("params", limit) < limit)
            if small and (name, size) not in done and size != known.get("size", 0):
                yield name, size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("measured", type=Path)
    parser.add_argument("--sizes", default="own")
    parser.add_argument("--names", default="*", help="patterns of names, separated by commas")
    parser.add_argument("--max-params", type=float, default=1e12)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    done = read(options.measured)
    if options.write:
        from network_table_file import write

        write(done, version("timm"), version("torchvision"))
        return
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    sizes = [None if size == "own" else int(size) for size in options.sizes.split(",")]
    options.measured.parent.mkdir(parents=True, exist_ok=True)
    with options.measured.open("a", encoding="utf-8") as file:
        for number, (name, size) in enumerate(wanted(done, sizes, options.max_params, options.names)):
            file.write(json.dumps(measure(name, size)) + "\n")
            file.flush()
            if number % 25 == 0:  # modules have reference cycles; a collection takes as long as a small network
                gc.collect()


def read(path: Path) -> dict[tuple[str, int | None], Any]:
    """Return the measurements of ``path`` by name and size."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    rows = (json.loads(line) for line in lines if line.endswith("}"))
    return {(row["name"], row["asked"]): row for row in rows}


if __name__ == "__main__":
    main()
