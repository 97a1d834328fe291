"""Options that several commands share, and functions that read them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ...results.database.store import Store
    from ...results.database.url import DatabaseLocation
    from ...spaces.architectures.budget import Budget

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def _database_url(text: str) -> Any:
    """Return a path, or a URL that hides its password when it is printed."""
    if "://" not in str(text):
        return Path(text)
    from ...results.database.url import parse_location

    return parse_location(text)


Database = Annotated[
    Any,  # Path | sqlalchemy.URL, which is imported late
    typer.Option(
        "--db",
        metavar="PATH|URL",
        parser=_database_url,
        envvar="ARCHSIEVE_DB",
        help="The results database: a file or postgresql://USER@HOST/NAME.",
        show_default=True,
    ),
]
DATABASE = Path("runs/archsieve.db")  # in the folder where searches write by default
MaxParams = Annotated[str | None, typer.Option(help="Limit of parameters, such as 60k or 5M.")]
MaxMacs = Annotated[str | None, typer.Option(help="Limit of multiply-accumulates, such as 6M or 300M.")]
MaxActivations = Annotated[str | None, typer.Option(help="Limit of activations, such as 500k.")]
MaxMemory = Annotated[str | None, typer.Option(help="Limit of training memory, such as 2GB.")]
MaxRam = Annotated[str | None, typer.Option(help="Limit of memory on a device, such as 256kB.")]
MaxFlash = Annotated[str | None, typer.Option(help="Limit of flash on a device, such as 1MB.")]
Precision = Annotated[str | None, typer.Option(help="Number format on a device: float32 (default) or int8.")]
MaxLatency = Annotated[
    float | None, typer.Option("--max-latency-ms", help="Limit of the measured milliseconds of a forward pass.")
]
Input = Annotated[str | None, typer.Option("--input", metavar="CxHxW", help="Shape of an image, such as 3x224x224.")]
Classes = Annotated[int | None, typer.Option(help="Number of classes.")]
LabelSeparator = Annotated[
    str | None, typer.Option(metavar="TEXT", help="The text between the labels of an image with several labels.")
]
Column = Annotated[
    list[str] | None,
    typer.Option(
        metavar="ROLE=NAME",
        help="A column of a manifest, such as label=species; repeat label for columns of 0 and 1.",
    ),
]
Nested = Annotated[bool, typer.Option("--nested", help="Every folder with images is a class.")]
Runs = Annotated[Path | None, typer.Option(help="The folder of the runs. Default: the folder of the database file.")]
Imports = Annotated[
    list[str] | None,
    typer.Option("--import", metavar="MODULE", help="Import a module with custom blocks, data, metrics or searchers."),
]
TrialName = Annotated[
    str, typer.Argument(metavar="TRIAL", help="The trial: its id, RUN:NUMBER (last:0), or a fingerprint.")
]
Run = Annotated[str | None, typer.Option("--run", help="Use only this run.")]
RunName = Annotated[str, typer.Argument(metavar="[RUN]", help="The run: its name, the beginning of it, or last.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("-s", "--set", metavar="KEY=VALUE", help="Override a key of the file, such as -s recipe.epochs=5."),
]


def budget_of(
    max_params: str | None = None,
    max_macs: str | None = None,
    max_activations: str | None = None,
    max_memory: str | None = None,
    max_latency_ms: float | None = None,
    max_ram: str | None = None,
    max_flash: str | None = None,
    precision: str | None = None,
) -> "Budget":
    """Return the budget of the command line's limits.

    Raises ``ValueError`` that names the option whose value is not valid.
    """
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
        ram=count(max_ram, "--max-ram", in_bytes=True),
        flash=count(max_flash, "--max-flash", in_bytes=True),
        precision=precision,
    )


def input_shape_of(text: str | None) -> tuple[int, int, int] | None:
    """Return (channels, height, width) from text such as ``3x224x224``; None for None."""
    if text is None:
        return None
    try:
        channels, height, width = (int(side) for side in text.split("x"))
    except ValueError:
        raise ValueError(
            f"--input must be channels x height x width, but got {text!r}; use a shape such as 3x224x224"
        ) from None
    from ...spaces.architectures.architecture import check_input_shape

    return check_input_shape((channels, height, width))


def is_file(name: str) -> bool:
    """Return whether ``name`` is a file and not a name of a published network."""
    # a missing search.toml is a wrong path and not an unknown name: the error must mention the file
    return Path(name).suffix in (".toml", ".json") or Path(name).exists()


def check_device(device: str) -> None:
    """Raise ``ValueError`` for an unknown device and ``ResourceError`` for a GPU that torch cannot use."""
    import torch  # takes seconds, so only commands with a device import it

    kind, _, index = device.partition(":")
    if kind not in ("cpu", "cuda") or (index and not index.isdigit()):
        raise ValueError(f"--device must be cpu, cuda or cuda:INDEX, but got {device!r}; use a device such as cuda:1")
    gpus = torch.cuda.device_count() if kind == "cuda" else 0
    if kind == "cuda" and int(index or 0) >= gpus:
        from ..cluster.errors import ResourceError

        available = f"this machine has {gpus} GPUs" if gpus else "torch cannot use a GPU on this machine"
        raise ResourceError(f"--device {device}: {available}; leave the option out or use cpu")


def import_modules(modules: list[str] | None) -> None:
    """Import the modules of ``--import``, looked for in the working folder too."""
    if modules:  # otherwise the plug-ins of the run are enough, which are loaded later
        from ..plugins.loading import load_plugins

        load_plugins(modules, keys=dict.fromkeys(modules, "--import"))


def check_settings(settings: list[str] | None, target: str) -> None:
    """Raise ``ValueError`` if there are ``settings`` of -s, but ``target`` is not a search file, so it has no keys."""
    if settings and Path(target).suffix != ".toml":
        raise ValueError(f"-s {settings[0]}: {target!r} is not a search file; leave -s out, or give a search file")


def open_read_only(database: "DatabaseLocation") -> "Store":
    """Open the database for queries; the database is not created or changed."""
    from ...results.database.store import open_store

    return open_store(database, read_only=True)
