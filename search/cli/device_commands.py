"""Commands for networks on devices: quantize."""

import gc
from typing import Annotated, Any

import typer

from .options import DATABASE, Database, Imports, Json, Runs, TrialName, import_modules
from .output import share_text, show, show_json

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
    gc.enable()
    from ...results.database.store import open_store
    from ...results.database.url import runs_folder
    from ...results.query.trial_name import find_trial
    from ..post.quantize import quantize_trial

    import_modules(imports)
    with open_store(database) as store:
        record = find_trial(store, trial)
        report = quantize_trial(store, record, runs or runs_folder(database), n_calibration=calibration)
    if as_json:
        show_json(report)
        return
    _show(report)


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
