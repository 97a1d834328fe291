"""The file of ``archsieve deploy --device``: the device, and the limits that the network must meet there."""

import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError, model_validator

from ...spaces.architectures.budget import Budget
from ...spaces.parameters.lookup import look_up
from .device_section import FORMATS, DeviceSection
from .section import Section

# Formats that archsieve deploy writes, and those whose runtime reports its memory; a test compares them with exporters.
DEPLOYED = FORMATS[2:]
WITH_RAM = ("executorch", "c")
LIMITS = ("ram", "flash", "latency_ms")


class DeployFile(Section):
    """``[device]`` and an optional ``[budget]`` with ``ram``, ``flash``, ``latency_ms``."""

    device: DeviceSection = DeviceSection()
    budget: dict[str, Any] = {}

    @model_validator(mode="after")
    def _can_be_checked(self) -> "DeployFile":
        """Refuse a limit that nothing would check."""
        look_up(dict.fromkeys(DEPLOYED), self.device.format, "device.format of archsieve deploy")
        for name in self.budget:
            look_up(dict.fromkeys(LIMITS), name, "limit of archsieve deploy")
        if "latency_ms" in self.budget and self.device.run is None:
            raise ValueError(
                "budget.latency_ms needs device.run, the command that measures the latency on the device, but there is "
                "none; add it, or leave the limit out"
            )
        if "ram" in self.budget and self.device.format not in WITH_RAM:
            raise ValueError(
                f"budget.ram needs a format whose runtime reports its memory, but device.format is "
                f"{self.device.format!r}; use one of {', '.join(WITH_RAM)}, or leave the limit out"
            )
        return self

    @property
    def limits(self) -> Budget:
        """The budget of the file."""
        return Budget.of(self.budget)


def load_deploy_file(path: Path) -> DeployFile:
    """Read a device file; raise ``ValueError`` with the place of a mistake."""
    try:
        file = DeployFile.model_validate(tomllib.loads(path.read_text()))
        _ = file.limits
    except FileNotFoundError:
        raise ValueError(f"--device must be a file with [device], but {path} does not exist; check the path") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        reason = first["msg"].removeprefix("Value error, ")
        raise ValueError(f"{path}: {where}: {reason}" if where else f"{path}: {reason}") from None
    except ValueError as error:  # also of TOML
        raise ValueError(f"{path}: {error}") from None
    return file
