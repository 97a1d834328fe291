"""Commands that use the networks of a finished search: train, ensemble, export."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...models.process.garbage import resume_collection
from .options import DATABASE, Database, Imports, Json, RunName, Runs, TrialName, check_device, import_modules
from .output import share_text, show, show_json

if TYPE_CHECKING:
    from ...models.export.classifier import ImageModel
    from ...models.export.device_formats import DeviceExport
    from ...results.database.reader import StoreReader
    from ...results.database.records import Trial

TEST = "test_"  # of the names of metrics on test images
Device = Annotated[str, typer.Option(help="The device: cpu, cuda or cuda:1.")]
Form = Annotated[
    str | None,
    typer.Option(
        help="The network to export: classifier (the default), features or fully-convolutional; of a zero-shot trial "
        "image or text."
    ),
]
Format = Annotated[
    str,
    typer.Option(
        "--format", help="One of safetensors, torch-export, onnx, onnx-int8, executorch, executorch-int8 and c."
    ),
]


def train(
    trial: TrialName,
    seeds: Annotated[int, typer.Option(min=1, help="The number of networks to train, each with another seed.")] = 1,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="The number of epochs. Default: that of the recipe.")
    ] = None,
    device: Device = "cpu",
    imports: Imports = None,
    database: Database = DATABASE,
    runs: Runs = None,
    as_json: Json = False,
) -> None:
    """Train the network of a trial again and keep its weights.

    Several seeds show how much the accuracy varies between trainings.

    Example: archsieve train digits:0 --seeds 3
    """
    from ...results.database.store import open_store
    from ...results.database.url import runs_folder
    from ...results.query.trial_name import find_trial
    from ..post.retrain import retrain_trial
    from .tables import table

    resume_collection()
    import_modules(imports)
    check_device(device)  # before the database is opened for writing
    with open_store(database) as store, epoch_bar() as on_epoch:
        record = find_trial(store, trial)
        report = retrain_trial(
            store, record, runs or runs_folder(database), seeds=seeds, epochs=epochs, device=device, on_epoch=on_epoch
        )
    if as_json:
        show_json(report)
        return
    networks = report["networks"]
    measured, tested = _metric_names(networks[0])
    rows = [
        [row["seed"], *_shares(row, measured), row["best_epoch"], *_shares(row, tested), row["weights"]]
        for row in networks
    ]
    headers = ("seed", *measured, "best_epoch", *tested, "weights")
    show(table(f"trial {record.trial}, {report['epochs']} epochs", headers, rows, left=("weights",)))
    show(*(line for name in (*measured, *tested) if (line := _spread(name, networks))))
    show(f"{' and '.join(tested)}: measured at the best validation epoch; nothing is selected by test data")


def _metric_names(row: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Return the names of the validation metrics and of the test metrics in the report on one network."""
    others = ("seed", "trial", "count", "val_loss", "best_epoch", "weights")
    names = [name for name in row if name not in others]
    return [name for name in names if not name.startswith(TEST)], [name for name in names if name.startswith(TEST)]


def ensemble(
    run: RunName = "last",
    top: Annotated[int, typer.Option(min=2, help="The number of best trials to select members from.")] = 5,
    soup: Annotated[
        str | None, typer.Option(help="Average the weights of copies of one network: uniform or greedy.")
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="The file to write the soup to.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file if it exists.")] = False,
    device: Device = "cpu",
    imports: Imports = None,
    database: Database = DATABASE,
    runs: Runs = None,
    as_json: Json = False,
) -> None:
    """Build an ensemble of the best networks of a run.

    Members are selected greedily by the metric of the run. The ensemble is tested once. With --soup the weights of
    fine-tuned copies of one network are averaged into one network.

    Example: archsieve ensemble digits --top 5
    """
    from ...results.database.store import open_store
    from ...results.database.url import runs_folder
    from ...spaces.metrics.registry import stored_name
    from ...spaces.metrics.selection import Selection
    from ..post.ensemble import ensemble_run

    resume_collection()
    import_modules(imports)
    check_device(device)
    if output is not None:
        check_target(output, force)  # before networks are trained
    folder = runs or runs_folder(database)
    with open_store(database) as store, epoch_bar() as on_epoch:
        record = store.run(run)
        report = ensemble_run(
            store,
            record.name,
            folder,
            top=top,
            soup=soup,
            output=output,
            device=device,
            on_trial=lambda trial: on_epoch,
        )
        metric = Selection.from_config(record.config).metric
    if as_json:
        show_json(report)
    else:
        _show_ensemble(record.name, report, stored_name(metric))


def _show_ensemble(run: str, report: Mapping[str, Any], selecting: str) -> None:
    """Print the members of an ensemble and its metrics; ``selecting`` is the one that selected the members."""
    from .tables import table

    measured, tested = _metric_names(report["members"][0])
    # a custom metric may have failed on the test images of one of them
    tested = [name for name in tested if all(name in one for one in (report, *report["members"]))]
    columns = [*measured, *(tested or ["test_accuracy"])]
    rows = [[member["trial"], member["count"], *_shares(member, columns)] for member in report["members"]]
    show(table(f"ensemble of {run}", ("trial", "times", *columns), rows, left=()))
    show(f"ensemble: {selecting} {share_text(report[selecting])}; its members were selected by it")
    show(*(f"ensemble: {name} {share_text(report[name])}" for name in measured if name != selecting))
    show(*(f"ensemble: {name} {share_text(report[name])}{_mean(name, report)}" for name in tested))


def _mean(name: str, report: Mapping[str, Any]) -> str:
    return f"; the mean of its members is {share_text(report[f'mean_member_{name}'])}"


def export(
    trial: TrialName,
    format: Format = "safetensors",
    form: Form = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The file to write. Default: trial-TRIAL.SUFFIX.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file if it exists.")] = False,
    imports: Imports = None,
    database: Database = DATABASE,
    runs: Runs = None,
) -> None:
    """Export the trained network of a trial to a file.

    Train its weights first with `archsieve train`. The search has trained the selected trial of zero-shot data. The
    file is checked against torch. The format c writes a folder.

    Example: archsieve export digits:0 --format onnx -o net.onnx
    """
    from ...models.export.device_formats import DEVICE_FORMATS
    from ...models.export.formats import FORMATS
    from ...results.database.url import runs_folder
    from ...results.database.zero_shot_records import is_zero_shot
    from ...results.query.trial_name import find_trial
    from ...spaces.parameters.lookup import look_up
    from ..post.retrain import load_best_model
    from .options import open_read_only

    resume_collection()
    import_modules(imports)
    suffixes = {name: row.suffix for name, row in FORMATS.items()}
    suffix = look_up({**suffixes, **dict.fromkeys(DEVICE_FORMATS, "")}, format, "format")
    with open_read_only(database) as store:
        record = find_trial(store, trial)
        if format in DEVICE_FORMATS:
            check_form(form, format)
            write_for_device(store, record, runs or runs_folder(database), format, output, force)
            return
        path = output or Path(f"trial-{record.trial}{suffix}")
        check_target(path, force)  # before the export, which takes seconds
        if is_zero_shot(record):
            show(_export_zero_shot(store, record, runs or runs_folder(database), path, format, form))
            return
        model = load_best_model(store, record, runs or runs_folder(database))
    show(_export_classifier(model, record.trial, path, format, form or "classifier"))


def _export_classifier(model: "ImageModel", trial: int, path: Path, format: str, form: str) -> str:
    """Write ``model`` to ``path`` and return a line for the user."""
    from ...models.export.formats import export as export_model
    from ...results.database.atomic_file import atomic_write

    exported = export_model(model, format, form)
    with atomic_write(path) as draft:
        draft.write_bytes(exported.content)
    in_shape, out_shape = ("x".join(map(str, shape)) for shape in (exported.in_shape, exported.out_shape))
    sizes = ", or any larger size" if form == "fully-convolutional" else ""
    return (
        f"wrote {path}: {form} of trial {trial}, images Nx{in_shape} in [0, 1] -> Nx{out_shape}{sizes}; "
        f"largest difference from torch {exported.largest_difference:.2g}; weights of seed {model.about['seed']}, "
        f"val_accuracy {model.about['val_accuracy']:.4f}"
    )


def write_for_device(
    store: "StoreReader", trial: "Trial", folder: Path, format: str, output: Path | None, force: bool
) -> None:
    """Export the trained network of ``trial`` in a format for devices, and print how it was checked."""
    from ...models.export.device_formats import default_path
    from ..post.export import export_trial

    path = output or default_path(f"trial-{trial.trial}", format)
    check_target(path, force)  # before the export, which takes seconds
    exported = export_trial(store, trial, folder, format)
    write_files(exported, path)
    show(f"wrote {path}: {format} of trial {trial.trial}; {exported.summary}")


def write_files(exported: "DeviceExport", path: Path) -> None:
    """Write the file or the folder ``path``."""
    from ...models.export.device_file import ONE_FILE
    from ...results.database.atomic_file import atomic_write

    for name, content in exported.file.content.items():
        target = path if name == ONE_FILE else path / name
        target.parent.mkdir(exist_ok=True)
        with atomic_write(target) as draft:
            draft.write_bytes(content)


def check_form(form: str | None, format: str) -> None:
    """Raise ``ValueError`` for another form than the classifier, which no device format has."""
    if form not in (None, "classifier"):
        raise ValueError(f"{format} has only the form 'classifier', but got {form!r}; use onnx or torch-export")


def _export_zero_shot(
    store: "StoreReader", trial: "Trial", runs: Path, path: Path, format: str, form: str | None
) -> str:
    """Write the model of the selected zero-shot trial, or one of its sides, to ``path``; return a line for the user."""
    from ...models.zero_shot.sides import SIDES, export_side
    from ...results.database.atomic_file import atomic_write
    from ..post.explain import load_final_model

    model = load_final_model(store, trial, runs)
    if format == "safetensors" and form is None:
        with atomic_write(path) as draft:
            draft.write_bytes(model.to_bytes())
        return f"wrote {path}: the whole zero-shot model of trial {trial.trial}; archsieve predict {path} needs texts"
    if form not in SIDES:
        raise ValueError(
            f"a zero-shot model is exported as two files, but the form is {form!r}; use --form image for images to "
            "embeddings, and --form text for text vectors to classifiers"
        )
    exported = export_side(model, format, form)
    with atomic_write(path) as draft:
        draft.write_bytes(exported.content)
    in_shape, out_shape = ("x".join(map(str, shape)) for shape in (exported.in_shape, exported.out_shape))
    return (
        f"wrote {path}: {form} side of trial {trial.trial}, Nx{in_shape} -> Nx{out_shape}; largest difference from "
        f"torch {exported.largest_difference:.2g}"
    )


def check_target(path: Path, force: bool) -> None:
    """Raise ``ValueError`` if ``path`` exists and is not overwritten by force, or if its folder does not exist."""
    if path.exists() and not force:
        raise ValueError(f"{path} exists already; use another name with -o, or overwrite it with --force")
    if not path.parent.is_dir():
        raise ValueError(f"the folder {path.parent} of {path} does not exist; create it first")


@contextmanager
def epoch_bar() -> Iterator[Any]:
    """Show a progress bar on stderr for the epochs of each network, and remove it at the end.

    Yields the function to call after each epoch, with the network's index, the number of epochs and the result.
    """
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        tasks: dict[int, Any] = {}

        def on_epoch(index: int, epochs: int, result: Any) -> None:
            # each network gets its bar at its first epoch; the next training starts at epoch 1 again
            if result.epoch == 1 or index not in tasks:
                tasks[index] = progress.add_task(f"network {index + 1}", total=epochs)
            progress.update(tasks[index], completed=result.epoch)

        yield on_epoch


def _spread(name: str, rows: list[dict[str, Any]]) -> str:
    """Return mean and standard deviation over the seeds; an empty text if no seed has a value."""
    values = [row[name] for row in rows if row[name] is not None]
    if not values:
        return ""
    # one value has no standard deviation
    deviation = f" +- {stdev(values):.4f} (sd)" if len(values) > 1 else ""
    return f"{name}: {fmean(values):.4f}{deviation}, n = {len(values)}"


def _shares(row: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    return [share_text(row.get(name)) for name in names]
