"""Deployment of a trial's network: train, quantise, export, check and measure it in one call."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...results.database.records import Trial
from ...results.database.store import Store
from ..config.deploy_file import DeployFile
from .export import export_trial
from .quantize import quantize_trial
from .retrain import OnEpoch, find_best_model, retrain_trial

if TYPE_CHECKING:
    from ...models.export.device_formats import DeviceExport

DEPLOYED = "deployed"  # kind of the event with the result
STEPS = ("train", "quantize", "export", "measure")


@dataclass(frozen=True)
class Deployment:
    """The result of :func:`deploy_trial`: the exported network, and what is known of it by step.

    ``quantized`` is None for a float32 format, and where torchao or executorch is not installed. ``latency`` is None
    without a command. ``problems`` are the limits that the network does not meet.
    """

    exported: "DeviceExport"
    trained: Mapping[str, Any]
    quantized: dict[str, Any] | None
    latency: dict[str, Any] | None
    problems: tuple[str, ...] = ()


def deploy_trial(
    store: Store,
    trial: Trial,
    folder: Path,
    file: DeployFile,
    write: Callable[["DeviceExport"], Path],
    *,
    on_step: Callable[[str], None] = lambda step: None,
    on_epoch: OnEpoch = lambda seed_index, epochs, result: None,
) -> Deployment:
    """Bring the network of ``trial`` to the device of ``file``, and record the result as an event.

    It is trained only if it has no saved weights. ``write`` writes the exported network and returns its path, which is
    measured by the command of the file. ``on_step`` is called with the name of each step of ``STEPS`` before it starts.
    Raises ``ValueError`` as the single steps do, and ``DeviceOfflineError`` if the device does not answer.
    """
    from ...models.export.device_formats import DEVICE_FORMATS, check_installed
    from ...spaces.parameters.lookup import look_up

    row = look_up(DEVICE_FORMATS, file.device.format, "device.format")
    check_installed(file.device.format)  # before the training, which may take hours
    on_step("train")
    model = find_best_model(store, trial, folder)
    if model is None:
        retrain_trial(store, trial, folder, on_epoch=on_epoch)
        model = find_best_model(store, trial, folder)
    assert model is not None
    on_step("quantize")
    can_quantize = row.precision == "int8" and all(find_spec(name) for name in ("torchao", "executorch"))
    quantized = quantize_trial(store, trial, folder) if can_quantize else None
    on_step("export")
    exported = export_trial(store, trial, folder, file.device.format, limits=file.limits)
    path = write(exported)
    on_step("measure")
    command, limit = file.device.command(), file.limits.latency_ms
    latency = None if command is None else command.measure(path.absolute())
    problems = list[str]()
    if latency is not None and limit is not None and latency["latency_ms_p50"] > limit:
        problems.append(f"the latency of {latency['latency_ms_p50']:.3g} ms is above budget.latency_ms = {limit:g}")
    result = Deployment(exported, model.about, quantized, latency, tuple(problems))
    store.add_event(store.run(trial.run).run_id, "info", DEPLOYED, _detail(result, trial, file), trial.trial)
    return result


def _detail(result: Deployment, trial: Trial, file: DeployFile) -> dict[str, Any]:
    """Return the result as JSON types, without the content of the files."""
    exported = result.exported
    return {
        "trial": trial.trial,
        "format": file.device.format,
        "device": file.device.name,
        "size_bytes": exported.file.size_bytes,
        "ram_bytes": exported.file.ram_bytes,
        "flash_bytes": exported.file.flash_bytes,
        "predicted": exported.predicted and exported.predicted._asdict(),
        "agreement": exported.agreement,
        "largest_difference": exported.largest_difference,
        "int8": result.quantized and result.quantized["int8"],
        "latency": result.latency,
        "problems": list(result.problems),
    }
