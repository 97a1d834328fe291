"""Commands that use what a search has found: train, ensemble, export."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean, stdev
from typing import Annotated, Any

import typer

from .options import DATABASE, Database, Json, check_device, runs_beside, show, show_json

Runs = Annotated[Path | None, typer.Option(help="The folder of the runs; beside the database by default.")]
Device = Annotated[str, typer.Option(help="cpu, cuda or cuda:1.")]


def train(
    trial: Annotated[str, typer.Argument(help="The trial's id, RUN:NUMBER, or a fingerprint.")],
    seeds: Annotated[int, typer.Option(min=1, help="Networks, each by a seed of its own.")] = 1,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs; those of its recipe by default.")] = None,
    device: Device = "cpu",
    database: Database = DATABASE,
    runs: Runs = None,
    as_json: Json = False,
) -> None:
    """Train a trial's network anew, keep its weights, and say how far its figures depend on the seed."""
    gc.enable()
    from ...results.database.store import open_store
    from ...results.query.trial_name import trial_named
    from ..post.retrain import retrain_trial
    from .tables import table

    check_device(device)
    with open_store(database) as store, _bar() as heard:
        found = trial_named(store, trial)
        told = retrain_trial(
            store, found, runs or runs_beside(database), seeds=seeds, epochs=epochs, device=device, on_epoch=heard
        )
    if as_json:
        show_json(told)
        return
    rows = [[row["seed"], _share(row["val_accuracy"]), row["best_epoch"], _share(row["test_accuracy"]), row["weights"]]
            for row in told["networks"]]  # fmt: skip
    headers = ("seed", "val_accuracy", "best_epoch", "test_accuracy", "weights")
    show(table(f"trial {found.trial}, {told['epochs']} epochs", headers, rows, left=("weights",)))
    show(*(line for name in ("val_accuracy", "test_accuracy") if (line := _spread(name, told["networks"]))))
    show("test_accuracy is that of the best validation epoch, and chose nothing")


def ensemble(
    run: Annotated[str, typer.Argument(help="The run.")],
    top: Annotated[int, typer.Option(min=2, help="How many of the best trials it is chosen from.")] = 5,
    device: Device = "cpu",
    database: Database = DATABASE,
    runs: Runs = None,
    as_json: Json = False,
) -> None:
    """Average the best networks of a run, chosen greedily on validation images, and test that once."""
    gc.enable()
    from ...results.database.store import open_store
    from ..post.ensemble import ensemble_run
    from .tables import table

    check_device(device)
    with open_store(database) as store, _bar() as heard:
        told = ensemble_run(
            store, run, runs or runs_beside(database), top=top, device=device, on_trial=lambda trial: heard
        )
    if as_json:
        show_json(told)
        return
    rows = [
        [member["trial"], member["count"], _share(member["val_accuracy"]), _share(member.get("test_accuracy"))]
        for member in told["members"]
    ]
    show(table(f"ensemble of {run}", ("trial", "times", "val_accuracy", "test_accuracy"), rows, left=()))
    show(f"together: val_accuracy {_share(told['val_accuracy'])}, by which its members were chosen")
    if "test_accuracy" in told:
        mean = _share(told["mean_member_test_accuracy"])
        show(f"together: test_accuracy {_share(told['test_accuracy'])}; the mean of its members is {mean}")


def export(
    trial: Annotated[str, typer.Argument(help="The trial's id, RUN:NUMBER, or a fingerprint.")],
    format: Annotated[str, typer.Option("--format", help="safetensors, torch-export or onnx.")] = "safetensors",
    form: Annotated[str, typer.Option(help="classifier, features or fully-convolutional.")] = "classifier",
    output: Annotated[Path | None, typer.Option("-o", "--output", help="The file: trial-TRIAL.SUFFIX.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    database: Database = DATABASE,
    runs: Runs = None,
) -> None:
    """Write the trained network of a trial to a file, checked against torch; archsieve train makes its weights."""
    gc.enable()
    from ...models.export.formats import FORMATS
    from ...models.export.formats import export as export_model
    from ...results.database.atomic_file import whole
    from ...results.query.trial_name import trial_named
    from ...spaces.parameters.lookup import look_up
    from ..post.retrain import kept_model
    from .options import reading

    suffix = look_up(FORMATS, format, "format").suffix
    with reading(database) as store:
        found = trial_named(store, trial)
        path = output or Path(f"trial-{found.trial}{suffix}")
        _check_target(path, force)
        model = kept_model(store, found, runs or runs_beside(database))
    made = export_model(model, format, form)
    with whole(path) as draft:
        draft.write_bytes(made.content)
    taken, out = ("x".join(map(str, shape)) for shape in (made.in_shape, made.out_shape))
    sizes = ", or any size above that of the training" if form == "fully-convolutional" else ""
    show(
        f"wrote {path}: {form} of trial {found.trial}, images Nx{taken} in [0, 1] -> Nx{out}{sizes}; largest "
        f"difference from torch {made.largest_difference:.2g}; weights of seed {model.about['seed']}, val_accuracy "
        f"{model.about['val_accuracy']:.4f}"
    )


def _check_target(path: Path, force: bool) -> None:
    if path.exists() and not force:
        raise ValueError(f"{path} is there already; give another name with -o, or replace it with --force")
    if not path.parent.is_dir():
        raise ValueError(f"{path} is to lie in a folder, but there is no {path.parent}; make it first")


@contextmanager
def _bar() -> Iterator[Any]:
    """A bar on stderr for the epochs of each network, gone when they are done."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        tasks: dict[int, Any] = {}

        def heard(place: int, epochs: int, result: Any) -> None:
            if result.epoch == 1 or place not in tasks:
                tasks[place] = progress.add_task(f"network {place + 1}", total=epochs)
            progress.update(tasks[place], completed=result.epoch)

        yield heard


def _spread(name: str, rows: list[dict[str, Any]]) -> str:
    """Mean and standard deviation over the seeds; nothing where there are no figures."""
    values = [row[name] for row in rows if row[name] is not None]
    if not values:
        return ""
    deviation = f" +- {stdev(values):.4f} (sd)" if len(values) > 1 else ""
    return f"{name}: {fmean(values):.4f}{deviation}, n = {len(values)}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
