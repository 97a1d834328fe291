"""The settings ``space.networks`` and ``space.backbone``, with ``space.weights``, as spaces."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...models.data.shapes import WITHOUT_FILES
from ...spaces.architectures.budget import Budget
from ...spaces.networks.networks_space import networks_space
from ...spaces.networks.patterns import PRETRAINED, WEIGHT_SUFFIXES, select
from ...spaces.networks.table import PublishedNetwork, network_table
from ...spaces.parameters.domains import choice
from ...spaces.parameters.task_kinds import CLASSIFICATION
from ...spaces.search_space.space import Space
from ..config.schema import DataSection, SearchFile, SpaceSection
from .other_sizes import costs_of
from .stored_settings import BEFORE_AUTO

AUTO = "auto"  # as data.interpolation and data.crop_pct: those of the published network


def networks_of(section: SpaceSection, input_shape: tuple[int, int, int], classes: int, budget: Budget) -> Space:
    """Return the space of ``space.networks``; networks without weights are left out where weights are asked for.

    At image sizes that the table of networks lacks, those that may be within ``budget`` are measured.

    Raises ``ValueError`` if another key defines a space, too, or no network is left.
    """
    others = [key for key in ("name", "stages", "stem", "backbone") if getattr(section, key) is not None]
    if others:
        raise ValueError(
            f"a space must have only one of name, stages, backbone and networks, but space.networks and "
            f"space.{others[0]} are both set; remove one of them"
        )
    assert section.networks is not None
    weights, patterns = section.weights, section.networks
    pretrained = weights == PRETRAINED
    return networks_space(
        patterns if weights is None or pretrained else with_files(patterns, Path(weights)),
        input_shape=input_shape,
        classes=classes,
        image_size=section.image_size,
        pretrained=pretrained,
        budget=budget,
        costs_of=costs_of,
    )


def with_files(patterns: str | Sequence[str], weights: Path) -> list[str]:
    """Return the names of the networks of ``patterns`` that have a file in the folder ``weights``.

    A file instead of a folder is of a single network. Raises ``ValueError`` if no network has weights.
    """
    names = [network.name for network in select(patterns)]
    if weights.is_file():
        if len(names) > 1:
            raise ValueError(
                f"a file of weights is of one network, but space.networks has {len(names):,} and space.weights is the "
                f"file {weights}; name its network alone, or give a folder of files NAME.safetensors"
            )
        return names
    present = {file.stem for file in weights.iterdir() if file.suffix in WEIGHT_SUFFIXES} if weights.is_dir() else set()
    chosen = [name for name in names if name.partition(":")[2] in present]
    if not chosen:
        found = f"has {', '.join(sorted(present)[:5]) or 'no weight files'}" if weights.is_dir() else "does not exist"
        raise ValueError(
            f"the folder of space.weights must have a file {names[0].partition(':')[2]}.safetensors or .pth of a "
            f"network of space.networks, but {weights} {found}; add files, name the networks of these files, or set "
            'weights = "pretrained"'
        )
    return chosen


def with_published_decoding(file: SearchFile, task: str) -> SearchFile:
    """Return ``file`` with the published interpolation and ``crop_pct`` of its networks in place of "auto".

    "auto" stays where the networks differ: each network is then trained on its own images. The networks of a zero-shot
    search share the images, which are those that most of them expect. Without networks the images are resized as
    before there were these keys.
    """
    data = file.data
    keys = [key for key in BEFORE_AUTO if getattr(data, key) == AUTO]
    if not keys or data.name in WITHOUT_FILES:
        return file
    # version 0.1.0 had no choice, and crop_pct is of images that are cropped
    fixed = BEFORE_AUTO if data.decoding_rules == 1 else {} if data.resize == "crop" else {"crop_pct": 1.0}
    networks, values = published_networks(file.space), dict[str, Any]()
    for key in keys:
        counts = Counter(getattr(network, key) for network in networks)
        if key in fixed or not counts:
            values[key] = BEFORE_AUTO[key]
        elif len(counts) == 1 or task != CLASSIFICATION:
            values[key] = max(counts, key=lambda value: (counts[value], value))
    return file.model_copy(update={"data": data.model_copy(update=values)})


def published_networks(space: SpaceSection) -> list[PublishedNetwork]:
    """Return the networks of ``space`` that are in the table of networks; those of a space in Python by their names.

    Raises ``ValueError`` if ``space.networks`` has none.
    """
    if space.networks is not None:
        files = space.weights is not None and space.weights != PRETRAINED
        patterns = with_files(space.networks, Path(str(space.weights))) if files else space.networks
        return select(patterns, pretrained=space.weights == PRETRAINED)
    names = re.findall(r'"((?:timm|torchvision):[\w.-]+)"', json.dumps([space.backbone, space.written]))
    return [network_table()[name] for name in dict.fromkeys(names) if name in network_table()]


def decoding_notes(space: SpaceSection, data: DataSection) -> list[str]:
    """Return a sentence if files are resized in a way that no network with weights of ``space`` expects."""
    if space.networks is None or space.weights is None or data.name in WITHOUT_FILES or data.interpolation == AUTO:
        return []
    published = {network.interpolation for network in select(space.networks, pretrained=space.weights == PRETRAINED)}
    if data.interpolation in published:
        return []
    return [
        f"the weights of space.networks expect {min(published)} interpolation, but data.interpolation is "
        f'"{data.interpolation}"; leave it out'
    ]


def backbones_of(names: str | list[str], input_shape: tuple[int, int, int], classes: int) -> Space:
    """Return a space of networks of timm or torchvision at the size of the data, each followed by a linear layer.

    The networks are built on the meta device, without memory for weights, to compute their costs.
    """
    from ...models.profiling.backbone_costs import measure_backbone

    blocks = [measure_backbone(name, input_shape) for name in ([names] if isinstance(names, str) else names)]
    return Space(input_shape, (choice(*blocks) if len(blocks) > 1 else blocks[0],), classes, "backbones")
