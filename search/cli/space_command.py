"""The command that describes a search space: its size, how many architectures fit a budget, samples."""

import random
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import (
    Classes,
    Input,
    Json,
    MaxActivations,
    MaxFlash,
    MaxMacs,
    MaxMemory,
    MaxParams,
    MaxRam,
    Precision,
    Settings,
    budget_of,
    check_settings,
    input_shape_of,
    is_file,
)
from .output import show, show_json

if TYPE_CHECKING:
    from ...spaces.architectures.architecture import Architecture
    from ...spaces.blocks.cost import Cost
    from ...spaces.constrained.constrained_space import ConstrainedSpace

SpaceName = Annotated[
    str, typer.Argument(metavar="FILE|NAME", help='A search file, the name of a space, or networks such as "timm:*".')
]
Count = Annotated[
    bool, typer.Option("--count", help="Count the architectures inside the budget and show a histogram of their costs.")
]
ImageSizes = Annotated[
    list[int] | None,
    typer.Option(
        "--image-size",
        min=1,
        help="Side in pixels to which the network resizes its images; repeat it for a choice. Default: that of the "
        "input, for timm and torchvision the published size of each network.",
    ),
]
Pretrained = Annotated[
    bool, typer.Option("--pretrained", help="For timm and torchvision: only networks with published weights.")
]
Order = Annotated[
    str, typer.Option(help="For timm and torchvision: order by params, macs, activations, memory, peak, top1 or name.")
]


def space(
    name: SpaceName,
    count: Count = False,
    sample: Annotated[int, typer.Option(min=0, help="Draw this many architectures inside the budget.")] = 0,
    by: Annotated[str, typer.Option(help="The distribution of the sample: uniform or log-macs.")] = "uniform",
    max_params: MaxParams = None,
    max_macs: MaxMacs = None,
    max_activations: MaxActivations = None,
    max_memory: MaxMemory = None,
    max_ram: MaxRam = None,
    max_flash: MaxFlash = None,
    precision: Precision = None,
    shape: Input = None,
    image_size: ImageSizes = None,
    pretrained: Pretrained = False,
    sort: Order = "macs",
    classes: Classes = None,
    seed: Annotated[int, typer.Option(min=0, help="The seed of the sample.")] = 0,
    settings: Settings = None,
    as_json: Json = False,
) -> None:
    """Show the size of a space and how many networks fit a budget.

    The cheapest and the most expensive architectures are shown as well. Networks of timm and torchvision, such as
    "timm:*", are listed with their costs.

    Example: archsieve space mixed --max-params 60k --sample 3
    """
    from ...spaces.constrained.feasibility import check_feasible
    from ...spaces.networks.patterns import is_pattern

    budget = budget_of(max_params, max_macs, max_activations, max_memory, None, max_ram, max_flash, precision)
    check_settings(settings, name)
    if is_pattern(name) and not sample:
        from .networks_list import show_networks

        show_networks(name, budget, classes, _only_size(image_size), pretrained=pretrained, sort=sort, json=as_json)
        return
    if is_pattern(name):
        constrained, note = _networks(name, budget, input_shape_of(shape), classes, image_size, pretrained), list[str]()
    else:
        _check_options(name, image_size, pretrained)
        constrained, note = _constrained_space(name, budget, input_shape_of(shape), classes, image_size, settings)
    check_feasible(constrained)  # an impossible budget is an error that names the cheapest architecture
    # with limits the question is how much fits them, so the space is counted without --count, too
    values = _values(constrained, count or budget.has_limits, sample, seed, by)
    if as_json:
        show_json(values)
    else:
        show(*_lines(constrained, values), *note)


def _networks(
    pattern: str,
    budget: Any,
    shape: tuple[int, int, int] | None,
    classes: int | None,
    image_size: list[int] | None,
    pretrained: bool,
) -> "ConstrainedSpace":
    from ...spaces.constrained.constrained_space import ConstrainedSpace
    from ..api.spaces import networks_space

    options = {} if shape is None else {"input_shape": shape}
    space = networks_space(
        pattern, **options, classes=classes or 1000, image_size=image_size, pretrained=pretrained, budget=budget
    )
    return ConstrainedSpace(space, budget)


def _only_size(sizes: list[int] | None) -> int | None:
    if sizes and len(sizes) > 1:
        raise ValueError(
            f"a list of networks has one image size, but got --image-size {', '.join(map(str, sizes))}; give one of "
            "them, or draw networks of all sizes with --sample"
        )
    return sizes[0] if sizes else None


def _check_options(name: str, image_size: list[int] | None, pretrained: bool) -> None:
    if pretrained:
        raise ValueError(
            f"--pretrained is for networks of timm and torchvision, but the space is {name!r}; leave it out, or name "
            'networks, as in "timm:*"'
        )
    if image_size and is_file(name):
        raise ValueError(
            f"--image-size is for named spaces, but {name} is a search file; set space.image_size in this file"
        )


def _values(constrained: "ConstrainedSpace", count: bool, sample: int, seed: int, by: str) -> dict[str, Any]:
    from ...spaces.constrained.feasibility import cheapest, most_expensive
    from ...spaces.constrained.sampling import sample as draw

    rng = random.Random(seed)
    costs = ("params", "macs")
    return {
        "space": constrained.space.name,
        "input_shape": list(constrained.space.input_shape),
        "classes": constrained.space.classes,
        "budget": {name: high for name, (_, high) in constrained.all_limits.items()},
        "size": constrained.size,
        **(_counted(constrained) if count else {}),
        "cheapest": {by: _entry(*cheapest(constrained, by)) for by in costs},
        "most_expensive": {by: _entry(*most_expensive(constrained, by)) for by in costs},
        "sample": [_entry(draw(constrained, 1, rng, by)[0]) for _ in range(sample)],
    }


def _counted(constrained: "ConstrainedSpace") -> dict[str, Any]:
    """Return how much of the space fits, the options that never fit, and the histogram of multiply-accumulates."""
    from ...spaces.constrained.feasibility import dead_choices
    from ...spaces.constrained.sampling import count, histogram
    from ...spaces.networks.networks_space import NAME as NETWORKS

    counted = count(constrained)
    # of networks the list of those that do not fit says nothing more than their number
    dead = [] if constrained.space.name == NETWORKS else dead_choices(constrained)
    return {
        "feasible": counted.value,
        "feasible_low": counted.low,
        "feasible_high": counted.high,
        "feasible_standard_error": counted.standard_error,
        "feasible_method": counted.method,
        "feasible_share": counted.value / constrained.size,
        "dead_choices": [{"choice": path, "option": option} for path, option in dead],
        "histogram": [{"from": low, "to": high, "architectures": n} for low, high, n in histogram(constrained)],
    }


def _lines(constrained: "ConstrainedSpace", values: dict[str, Any]) -> list[str]:
    from ...spaces.constrained.sampling import count

    lines = [
        f"space {constrained.space.name!r}: {constrained.size:,} distinct architectures; budget: {constrained.budget}"
    ]
    if "feasible" in values:
        counted = count(constrained)
        exact = "exact, " if counted.exact else ""
        lines.append(
            f"inside the budget: {counted}, a share of {values['feasible_share']:.3g} ({exact}by {counted.method})"
        )
    for key, label in (("cheapest", "cheapest"), ("most_expensive", "most expensive")):
        for by, extreme in values[key].items():
            lines.append(f"{label} by {by}: params {extreme['params']:,}, macs {extreme['macs']:,}: {extreme['text']}")
    dead: dict[str, list[str]] = {}
    for choice in values.get("dead_choices", ()):
        dead.setdefault(choice["choice"], []).append(str(choice["option"]))
    lines += [f"never inside the budget at {path}: {', '.join(options)}" for path, options in dead.items()]
    lines += _bars(values.get("histogram", []))
    return lines + [f"sample: params {s['params']:,}, macs {s['macs']:,}: {s['text']}" for s in values["sample"]]


def _bars(rows: list[dict[str, Any]]) -> list[str]:
    """Return the histogram as text: a range of macs, a bar, the number of architectures."""
    from ...spaces.architectures.budget import format_count

    largest = max((row["architectures"] for row in rows), default=0)
    return [
        f"macs {format_count(row['from']):>6} to {format_count(row['to']):<6} "
        f"{'#' * round(40 * row['architectures'] / largest):40} {_count(row['architectures'])}"
        for row in rows
    ]


def _count(architectures: int | float) -> str:
    return f"{architectures:,}" if isinstance(architectures, int) else f"about {architectures:.3g}"


def _entry(architecture: "Architecture", known_cost: "Cost | None" = None) -> dict[str, Any]:
    from ...spaces.architectures.cost import cost

    return {
        "text": str(architecture),
        "fingerprint": architecture.fingerprint,
        **(known_cost or cost(architecture)).to_json(),
        "architecture": architecture.to_json(),
    }


def _constrained_space(
    name: str,
    budget: Any,
    shape: tuple[int, int, int] | None,
    classes: int | None,
    image_size: list[int] | None,
    settings: list[str] | None,
) -> "tuple[ConstrainedSpace, list[str]]":
    """Return the space of a search file or a named space under ``budget``, and notes to print.

    The budget of the search file is used if the options set no limit.
    """
    from ...spaces.constrained.constrained_space import ConstrainedSpace

    if is_file(name):
        from ..experiment.search_file import load_experiment

        experiment = load_experiment(name, settings or ())
        whole = budget if budget.has_limits else experiment.budget
        # the head of a zero-shot model counts towards the budget: reserve the largest head that the recipe allows
        space = experiment.space_within(whole)
        remaining = experiment.task.remaining_budget(whole, space, experiment.recipes)
        note = f"this budget is {whole} without the largest head that the recipe allows"
        notes = [] if remaining == whole else [note]
        return ConstrainedSpace(space, remaining, experiment.constrained.batch_size), notes
    from ...spaces.search_space.named import named_space

    space = named_space(name, input_shape=shape, classes=classes, image_size=image_size)
    return ConstrainedSpace(space, budget), []
