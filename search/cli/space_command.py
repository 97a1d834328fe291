"""The command that looks at a space: its size, what fits a budget, samples. It trains nothing."""

import random
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import (
    Classes,
    Input,
    Json,
    MaxActivations,
    MaxMacs,
    MaxMemory,
    MaxParams,
    budget_of,
    input_shape_of,
    is_file,
    show,
    show_json,
)

if TYPE_CHECKING:
    from ...spaces.architectures.architecture import Architecture
    from ...spaces.blocks.cost import Cost
    from ...spaces.constrained.constrained_space import ConstrainedSpace


def space(
    name: Annotated[str, typer.Argument(metavar="FILE|NAME", help="A search file, or a space of the catalogue.")],
    count: Annotated[bool, typer.Option("--count", help="Count what fits, and show how its cost is spread.")] = False,
    sample: Annotated[int, typer.Option(min=0, help="Draw so many architectures from inside the budget.")] = 0,
    by: Annotated[str, typer.Option(help="How to draw: uniform, or log-macs.")] = "uniform",
    max_params: MaxParams = None,
    max_macs: MaxMacs = None,
    max_activations: MaxActivations = None,
    max_memory: MaxMemory = None,
    shape: Input = None,
    classes: Classes = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draw.")] = 0,
    as_json: Json = False,
) -> None:
    """Say how large a space is, how much of it fits a budget, and what its cheapest and dearest cost."""
    from ...spaces.constrained.feasibility import check_feasible

    given = budget_of(max_params, max_macs, max_activations, max_memory)
    sieve, note = _sieve(name, given, input_shape_of(shape), classes)
    check_feasible(sieve)
    told = _told(sieve, count or bool(given.limits()), sample, seed, by)
    if as_json:
        show_json(told)
    else:
        show(*_lines(sieve, told), *note)


def _told(sieve: "ConstrainedSpace", count: bool, sample: int, seed: int, by: str) -> dict[str, Any]:
    from ...spaces.constrained.feasibility import cheapest, most_expensive
    from ...spaces.constrained.sampling import sample_one

    rng = random.Random(seed)
    costs = ("params", "macs")
    return {
        "space": sieve.space.name,
        "input_shape": list(sieve.space.input_shape),
        "classes": sieve.space.classes,
        "budget": {name: high for name, (_, high) in sieve.budget.limits().items()},
        "size": sieve.size,
        **(_counted(sieve) if count else {}),
        "cheapest": {by: _one(*cheapest(sieve, by)) for by in costs},
        "dearest": {by: _one(*most_expensive(sieve, by)) for by in costs},
        "sample": [_one(sample_one(sieve, rng, by)) for _ in range(sample)],
    }


def _counted(sieve: "ConstrainedSpace") -> dict[str, Any]:
    from ...spaces.constrained.feasibility import dead_choices
    from ...spaces.constrained.sampling import count, histogram

    counted = count(sieve)
    return {
        "feasible": counted.value,
        "feasible_low": counted.low,
        "feasible_high": counted.high,
        "feasible_standard_error": counted.standard_error,
        "feasible_share": counted.value / sieve.size,
        "dead_choices": [{"choice": path, "option": option} for path, option in dead_choices(sieve)],
        "histogram": [{"from": low, "to": high, "architectures": n} for low, high, n in histogram(sieve)],
    }


def _lines(sieve: "ConstrainedSpace", told: dict[str, Any]) -> list[str]:
    from ...spaces.constrained.sampling import count

    lines = [f"space {sieve.space.name!r}: {sieve.size:,} distinct architectures; budget: {sieve.budget}"]
    if "feasible" in told:
        lines.append(f"inside the budget: {count(sieve)}, a share of {told['feasible_share']:.3g}")
    for word in ("cheapest", "dearest"):
        for by, found in told[word].items():
            lines.append(f"{word} by {by}: params {found['params']:,}, macs {found['macs']:,}: {found['text']}")
    dead: dict[str, list[str]] = {}
    for choice in told.get("dead_choices", ()):
        dead.setdefault(choice["choice"], []).append(str(choice["option"]))
    lines += [f"never fits at {path}: {', '.join(options)}" for path, options in dead.items()]
    lines += _bars(told.get("histogram", []))
    return lines + [f"sample: params {s['params']:,}, macs {s['macs']:,}: {s['text']}" for s in told["sample"]]


def _bars(rows: list[dict[str, Any]]) -> list[str]:
    """The histogram as text: macs, a bar, how many architectures."""
    from ...spaces.architectures.budget import format_count

    most = max((row["architectures"] for row in rows), default=0)
    return [
        f"macs {format_count(row['from']):>6} to {format_count(row['to']):<6} "
        f"{'#' * round(40 * row['architectures'] / most):40} {_many(row['architectures'])}"
        for row in rows
    ]


def _many(architectures: int | float) -> str:
    return f"{architectures:,}" if isinstance(architectures, int) else f"about {architectures:.3g}"


def _one(architecture: "Architecture", price: "Cost | None" = None) -> dict[str, Any]:
    from ...spaces.architectures.cost import cost

    return {
        "text": str(architecture),
        "fingerprint": architecture.fingerprint,
        **(price or cost(architecture)).to_json(),
        "architecture": architecture.to_json(),
    }


def _sieve(
    name: str, given: Any, shape: tuple[int, int, int] | None, classes: int | None
) -> "tuple[ConstrainedSpace, list[str]]":
    """The sieve of a search file (its own budget where no option gives one) or of a named space; what to add to it."""
    from ...spaces.constrained.constrained_space import ConstrainedSpace

    if is_file(name):
        from ..experiment.search_file import load_experiment

        found = load_experiment(name)
        whole = given if given.limits() else found.budget
        left = found.task.remaining_budget(whole, found.space, found.recipes)
        note = [] if left == whole else [f"this budget is what the recipe's largest head leaves of {whole}"]
        return ConstrainedSpace(found.space, left, found.sieve.batch_size), note
    from ...spaces.search_space.named import named_space

    return ConstrainedSpace(named_space(name, input_shape=shape, classes=classes), given), []
