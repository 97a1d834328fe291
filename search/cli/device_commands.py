"""Commands for networks on devices: quantize and deploy."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...models.process.garbage import resume_collection
from .options import DATABASE, Database, Imports, Json, Runs, TrialName, import_modules
from .output import NOTHING_USABLE, share_text, show, show_json, show_message

if TYPE_CHECKING:
    from ..post.deploy import Deployment

MAX_LOSS = 0.005  # of the accuracy (0..1) by int8; above it the command recommends the doctor
Calibration = Annotated[
    int | None, typer.Option(min=2, help="The number of training images that set the ranges. Default: 256.")
]


def quantize(
    trial: TrialName,
    calibration: Calibration = None,
    imports: Imports = None,
    database: Database = DATABASE,
    runs: Runs = None,
    as_json: Json = False,
) -> None:
    """Measure the trained network of a trial in int8.

    Train its weights first with `archsieve train`. The metrics on the validation images become columns of the trial,
    such as int8_val_accuracy.

    Example: archsieve quantize digits:0
    """
    from ...results.database.store import open_store
    from ...results.database.url import runs_folder
    from ...results.query.trial_name import find_trial
    from ..post.quantize import quantize_trial

    resume_collection()
    import_modules(imports)
    with open_store(database) as store:
        record = find_trial(store, trial)
        report = quantize_trial(store, record, runs or runs_folder(database), n_calibration=calibration)
    if as_json:
        show_json(report)
        return
    _show(report)


def deploy(
    trial: TrialName,
    device: Annotated[Path, typer.Option("--device", metavar="FILE", help="A TOML file with [device] and [budget].")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The file or folder to write. Default: trial-TRIAL.SUFFIX.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file if it exists.")] = False,
    imports: Imports = None,
    database: Database = DATABASE,
    runs: Runs = None,
) -> None:
    """Train, quantize, export, check and measure a network.

    The file names the format, the command that measures a network on the device, and limits. The summary has one line
    for each step. A network above a limit ends with exit code 3.

    Example: archsieve deploy digits:0 --device device.toml
    """
    from ...models.export.device_formats import default_path
    from ...results.database.store import open_store
    from ...results.database.url import runs_folder
    from ...results.query.trial_name import find_trial
    from ..config.deploy_file import load_deploy_file
    from ..post.deploy import deploy_trial
    from .train_commands import check_target, epoch_bar, write_files

    resume_collection()
    import_modules(imports)
    file = load_deploy_file(device)
    with open_store(database) as store, epoch_bar() as on_epoch:
        record = find_trial(store, trial)
        path = output or default_path(f"trial-{record.trial}", file.device.format)
        check_target(path, force)

        def write(exported: Any) -> Path:
            write_files(exported, path)
            return path

        folder, on_step = runs or runs_folder(database), lambda step: show_message(f"{step} ...")
        result = deploy_trial(store, record, folder, file, write, on_step=on_step, on_epoch=on_epoch)
    show(*_summary(result, record.trial, path, file.device.format))
    if result.problems:
        show_message(*(f"archsieve: {problem}" for problem in result.problems))
        raise typer.Exit(NOTHING_USABLE)


def _summary(result: "Deployment", trial: int, path: Path, format: str) -> list[str]:
    """Return the summary, one line for each step."""
    about, int8, latency = result.trained, result.quantized, result.latency
    lines = [
        f"trial {trial} as {format}: {path}",
        f"trained   val_accuracy {share_text(about.get('val_accuracy'))}, seed {about.get('seed')}",
        f"exported  {result.exported.summary}",
    ]
    if int8 is not None:
        lines.insert(
            2, f"quantized int8_val_accuracy {share_text(int8['int8']['val_accuracy'])}, n = {int8['n_val']:,}"
        )
    if latency is not None:
        lines.append(
            f"measured  {latency['latency_ms_p50']:.3g} ms (p90 {latency['latency_ms_p90']:.3g}, n = {latency['n']}) "
            f"on {latency['device']}, {latency['machine']}"
        )
    return lines


def _show(report: dict[str, Any]) -> None:
    from .tables import table

    kinds = [kind for kind in ("float32", "int8", "onnxruntime") if kind in report]
    headers = ("metric", *(f"{kind} int8" if kind == "onnxruntime" else kind for kind in kinds))
    rows = [[name, *(share_text(report[kind][name]) for kind in kinds)] for name in report["float32"]]
    title = f"trial {report['trial']}, {report['n_val']:,} validation images, calibrated on {report['n_calibration']}"
    show(table(f"{title} training images", headers, rows, left=("metric",)))
    show(f"int8 and float32 predict the same class for {100 * report['agreement']:.1f} % of the images")
    loss = report["float32"]["val_accuracy"] - report["int8"]["val_accuracy"]
    if loss > MAX_LOSS:
        show(
            f"int8 loses {100 * loss:.1f} points of the accuracy; find the layer: archsieve doctor {report['trial']} "
            "--check int8"
        )
