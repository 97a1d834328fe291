"""Options that several commands share."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ...results.database.store import Store
    from ...results.database.url import Place
    from ...spaces.architectures.budget import Budget

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def _place(text: str) -> Any:
    """A path, or a URL whose own text hides its password."""
    if "://" not in str(text):
        return Path(text)
    from ...results.database.url import place_of

    return place_of(text)


Database = Annotated[
    Any,  # Path | sqlalchemy.URL, which is imported late
    typer.Option(
        "--db",
        metavar="PATH|URL",
        parser=_place,
        envvar="ARCHSIEVE_DB",
        help="The results database: a file, or postgresql://USER@HOST/NAME.",
        show_default=True,
    ),
]
DATABASE = Path("runs/archsieve.db")
MaxParams = Annotated[str | None, typer.Option(help="At most so many parameters, as in 60k or 5M.")]
MaxMacs = Annotated[str | None, typer.Option(help="At most so many multiply-accumulates, as in 6M or 300M.")]
MaxActivations = Annotated[str | None, typer.Option(help="At most so many activations.")]
MaxMemory = Annotated[str | None, typer.Option(help="At most so much training memory, as in 2GB.")]
MaxLatency = Annotated[
    float | None, typer.Option("--max-latency-ms", help="At most so many milliseconds a forward pass, as measured.")
]
Input = Annotated[str | None, typer.Option("--input", metavar="CxHxW", help="Shape of a picture, as in 3x224x224.")]
Classes = Annotated[int | None, typer.Option(help="Number of classes.")]
Run = Annotated[str | None, typer.Option("--run", help="Only this run.")]


def budget_of(
    max_params: str | None = None,
    max_macs: str | None = None,
    max_activations: str | None = None,
    max_memory: str | None = None,
    max_latency_ms: float | None = None,
) -> "Budget":
    """The budget that the options spell; errors name the option."""
    from ...spaces.architectures.budget import Budget, check_latency, parse_count

    check_latency(max_latency_ms, "--max-latency-ms")

    def count(value: str | None, option: str, *, in_bytes: bool = False) -> int | None:
        return None if value is None else parse_count(value, option, in_bytes=in_bytes)

    return Budget(
        params=count(max_params, "--max-params"),
        macs=count(max_macs, "--max-macs"),
        activations=count(max_activations, "--max-activations"),
        memory_bytes=count(max_memory, "--max-memory", in_bytes=True),
        latency_ms=max_latency_ms,
    )


def input_shape_of(text: str | None) -> tuple[int, int, int] | None:
    """The shape that ``3x224x224`` spells."""
    if text is None:
        return None
    try:
        channels, height, width = (int(side) for side in text.split("x"))
    except ValueError:
        raise ValueError(f"--input is channels x height x width, as in 3x224x224, but got {text!r}") from None
    from ...spaces.architectures.architecture import check_input_shape

    return check_input_shape((channels, height, width))


def is_file(name: str) -> bool:
    """Whether ``name`` is a file rather than a name of the catalogue."""
    return Path(name).suffix in (".toml", ".json") or Path(name).exists()


def check_device(device: str) -> None:
    """Refuse what is no device of torch's, and a GPU where there is none."""
    import torch

    kind, _, index = device.partition(":")
    if kind not in ("cpu", "cuda") or (index and not index.isdigit()):
        raise ValueError(f"--device is cpu, cuda or cuda:1, but got {device!r}")
    found = torch.cuda.device_count() if kind == "cuda" else 0
    if kind == "cuda" and int(index or 0) >= found:
        from ..cluster.ray_runtime import ResourceError

        there = f"of {found} GPUs here" if found else "torch can use no GPU here"
        raise ResourceError(f"--device {device}: {there}; leave it out, or name cpu")


def runs_beside(database: Any) -> Path:
    """The folder of the runs of a database: where its file lies."""
    return database.parent if isinstance(database, Path) else Path("runs")


def reading(database: "Place") -> "Store":
    """The database at ``database``, to be read."""
    from ...results.database.store import open_store

    return open_store(database, read_only=True)


def show_json(value: Any) -> None:
    """Print ``value`` as JSON on stdout."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def show(*parts: str) -> None:
    """Print texts on stdout, one below the other."""
    for part in parts:
        typer.echo(part)
